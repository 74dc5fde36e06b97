//! What bad models, data and folders get: exit code 2, a message that tells what to do, nothing written.

use std::fs;

use insta::assert_snapshot;
use serde_json::json;

use crate::place::{Place, reviews};

/// A place with a model and data that fit each other.
pub(crate) fn sound() -> Place {
    let place = Place::new();
    place.model("bert-single", "base");
    place.rows("train.jsonl", &reviews(12, &["bad", "good"]));
    place
}

const TRAIN: [&str; 4] = ["--model", "base", "--data", "train.jsonl"];

/// Training with another value for one of the flags.
fn train_on(file: &str) -> [&str; 4] {
    ["--model", "base", "--data", file]
}

#[test]
fn a_model_without_weights() {
    let place = sound();
    fs::remove_file(place.path("base/model.safetensors")).unwrap();
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: no `model.safetensors` in `base`
    hint: a model folder holds `config.json`, `model.safetensors` and `tokenizer.json`
    ");
}

#[test]
fn truncated_weights() {
    let place = sound();
    let bytes = fs::read(place.path("base/model.safetensors")).unwrap();
    fs::write(place.path("base/model.safetensors"), &bytes[..20000]).unwrap();
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: `base/model.safetensors` is damaged: 20000 bytes instead of 26124
    hint: incomplete or damaged: delete it, then copy or download it again
    ");
}

#[test]
fn weights_of_another_format() {
    let place = sound();
    let weights = place.path("base/model.safetensors");
    fs::rename(weights, place.path("base/pytorch_model.bin")).unwrap();
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: `base` has only `pytorch_model.bin`, and only safetensors are read
    hint: convert it with transformers: `model.save_pretrained(folder, safe_serialization=True)`
    ");
}

#[test]
fn weights_of_another_size() {
    let place = sound();
    place.configure("base", &[("num_hidden_layers", json!(3))]);
    let text = place.refused_training(&TRAIN);
    let (message, hint) = text.split_at(text.find("hint:").unwrap());
    let lines: Vec<_> = message.lines().collect();
    // All sixteen tensors of the third block.
    assert_eq!(lines.len(), 1 + 16, "{message}");
    assert_eq!(lines[0], "error: the checkpoint does not fit the model");
    assert_eq!(
        lines[1],
        "  missing: `bert.encoder.layer.2.attention.self.query.weight`"
    );
    assert_snapshot!(hint, @"hint: `config.json` and the weights must come from the same model; compare its sizes with the shapes above");
}

#[test]
fn an_unknown_architecture() {
    let place = sound();
    place.configure("base", &[("model_type", json!("mamba"))]);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: unknown architecture `mamba` in `base/config.json`
    hint: known: bert, roberta, xlm-roberta, camembert, distilbert, llama, mistral, qwen2, qwen3, gpt2
    ");
}

#[test]
fn a_configuration_without_a_size() {
    let place = sound();
    place.configure("base", &[("hidden_size", json!(null))]);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: cannot use `base/config.json`: `config.json` of a `bert` model cannot be read: missing field `hidden_size`
    hint: copy it again from where the model came from, or choose another model
    ");
}

#[test]
fn a_tokenizer_beyond_the_embedding() {
    let place = sound();
    place.configure("base", &[("vocab_size", json!(40))]);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: the tokenizer's highest id is 47, the model's embedding has 40 rows
    hint: tokenizer and weights are of different models; copy both from one folder
    ");
}

#[test]
fn a_model_without_a_tokenizer() {
    let place = sound();
    fs::remove_file(place.path("base/tokenizer.json")).unwrap();
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: `base` has no `tokenizer.json`
    hint: only `tokenizer.json` is read; with transformers, `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` writes it
    ");
}

#[test]
fn an_empty_data_file() {
    let place = sound();
    place.write("empty.jsonl", "");
    assert_snapshot!(place.refused_training(&train_on("empty.jsonl")), @r#"
    error: `empty.jsonl` holds no rows
    hint: add rows such as `{"text": "...", "label": "..."}`
    "#);
}

#[test]
fn a_data_file_that_is_not_there() {
    let place = sound();
    assert_snapshot!(place.refused_training(&train_on("trian.jsonl")), @r"
    error: cannot read `trian.jsonl`: No such file or directory (os error 2)
    hint: check the path and its permissions
    ");
}

#[test]
fn texts_of_only_spaces() {
    let place = sound();
    let rows = [
        json!({"text": "good film", "label": "good"}),
        json!({"text": "  \t ", "label": "bad"}),
    ];
    place.rows("blank.jsonl", &rows);
    assert_snapshot!(place.refused_training(&train_on("blank.jsonl")), @r"
    error: 1 of 2 rows in `blank.jsonl` cannot be used
    blank.jsonl:2: field `text`: holds no text, only white space or nothing (write a text or remove the row)
    ");
}

#[test]
fn prompts_with_completions() {
    let place = sound();
    place.rows(
        "chat.jsonl",
        &[json!({"prompt": "say", "completion": "so"})],
    );
    assert_snapshot!(place.refused_training(&train_on("chat.jsonl")), @r"
    error: this model scores text, it cannot do the task `generate`
    hint: take a decoder, such as Llama, Qwen or GPT-2, for data without labels; or `--task mask`, so that this one learns the words of a text
    ");
}

#[test]
fn rows_of_one_label() {
    let place = sound();
    place.rows("one.jsonl", &reviews(4, &["good"]));
    assert_snapshot!(place.refused_training(&train_on("one.jsonl")), @r"
    error: all training rows have the same label: `good`
    hint: add rows with another label
    ");
}

#[test]
fn a_label_in_valid_that_train_lacks() {
    let place = sound();
    place.rows("valid.jsonl", &[json!({"text": "a film", "label": "god"})]);
    let arguments = [&TRAIN[..], &["--valid", "valid.jsonl"]].concat();
    assert_snapshot!(place.refused_training(&arguments), @r"
    error: `valid.jsonl` has labels that the model does not know: `god` (line 1)
    hint: correct their spelling or add such rows to the training data; known labels: `bad`, `good`
    ");
}

#[test]
fn tags_for_a_file_of_classes() {
    let place = sound();
    let arguments = [&TRAIN[..], &["--task", "tag"]].concat();
    assert_snapshot!(place.refused_training(&arguments), @r"
    error: `train.jsonl` is data for the task `classify`
    hint: set the task to `classify`
    ");
}

#[test]
fn rows_that_are_all_dropped() {
    let place = sound();
    let drop = ["--max-length", "3", "--set", "data.truncation=drop"];
    assert_snapshot!(place.refused_training(&[&TRAIN[..], &drop].concat()), @r#"
    error: no rows are left: 12 were skipped as too long or without a word to learn from
    hint: give a larger `--max-length`, or `truncation = "right"`
    "#);
}

#[test]
fn an_output_below_a_file() {
    let place = sound();
    place.write("file", "");
    let arguments = ["train", "--backend", "flex", "--output", "file/run"];
    assert_snapshot!(place.refusal(&[&arguments[..], &TRAIN].concat()), @r"
    error: cannot write `file/run`: Not a directory (os error 20)
    hint: choose another path, one that can be written
    ");
}

#[test]
fn an_output_that_holds_a_run() {
    let place = sound();
    place.train_into("first", &[&TRAIN[..], &["--max-steps", "1"]].concat());
    let before = place.read("first/events.jsonl");
    let arguments = ["train", "--backend", "flex", "--output", "first"];
    assert_snapshot!(place.refusal(&[&arguments[..], &TRAIN].concat()), @r"
    error: output folder `first` already holds a run
    hint: `rekindle train first --resume` goes on with it; else choose another `--output`
    ");
    assert_eq!(place.read("first/events.jsonl"), before);
}

#[test]
fn an_output_with_other_files() {
    let place = sound();
    fs::create_dir(place.path("notes")).unwrap();
    place.write("notes/plan.txt", "mine");
    let arguments = ["train", "--backend", "flex", "--output", "notes"];
    assert_snapshot!(place.refusal(&[&arguments[..], &TRAIN].concat()), @r"
    error: output folder `notes` is not empty
    hint: choose another `--output`, or remove the folder
    ");
    assert_eq!(fs::read_dir(place.path("notes")).unwrap().count(), 1);
}

#[test]
fn a_mistyped_folder() {
    let place = sound();
    let arguments = ["--model", "./bsae", "--data", "train.jsonl"];
    assert_snapshot!(place.refused_training(&arguments), @r"
    error: no folder `./bsae`
    hint: did you mean the folder `./base`?
    ");
    let arguments = ["--model", "bsae", "--data", "train.jsonl"];
    assert_snapshot!(place.refused_training(&arguments), @r"
    error: `bsae` is neither a folder nor in the cache, and offline mode forbids a download: no snapshot in `[folder]/hf/hub/models--bsae`
    hint: did you mean the folder `base`?
    ");
}

#[test]
fn a_model_that_is_not_in_the_cache_while_offline() {
    let place = sound();
    let arguments = ["--model", "org/name", "--data", "train.jsonl"];
    assert_snapshot!(place.refused_training(&arguments), @r"
    error: `org/name` is neither a folder nor in the cache, and offline mode forbids a download: no snapshot in `[folder]/hf/hub/models--org--name`
    hint: unset `HF_HUB_OFFLINE`, or run `hf download org/name` where there is a network and set `HF_HOME` to the folder with its `hub`, or give a model folder
    ");
}

#[test]
fn answers_without_a_head() {
    let place = sound();
    place.model("minilm-headless", "headless");
    let trained = ["--model", "headless", "--backend", "flex"];
    let predict = place.refusal(&[&["predict", "--text", "good film"], &trained[..]].concat());
    assert_snapshot!(predict, @r"
    error: `headless` has no trained head: `config.json` names no class with a head in `architectures`
    hint: fine-tune it first: `rekindle train --model headless --data FILE`
    ");
    let eval = place.refusal(&[&["eval", "--data", "train.jsonl"], &trained[..]].concat());
    assert_eq!(eval, predict);
}

#[test]
fn answers_of_a_head_that_is_only_promised() {
    let place = sound();
    place.model("minilm-headless", "promise");
    let class = json!(["BertForSequenceClassification"]);
    place.configure("promise", &[("architectures", class)]);
    let arguments = ["--model", "promise", "--backend", "flex"];
    let text = place.refusal(&[&["predict", "--text", "good film"], &arguments[..]].concat());
    assert_snapshot!(text, @r"
    error: `promise` has no trained head: classifier.weight, classifier.bias
    hint: fine-tune it first: `rekindle train --model promise --data FILE`
    ");
}

#[test]
fn labels_that_the_model_does_not_know() {
    let place = sound();
    let arguments = ["eval", "--model", "base", "--data", "train.jsonl"];
    assert_snapshot!(place.refusal(&[&arguments[..], &["--backend", "flex"]].concat()), @r"
    error: `train.jsonl` has labels that the model does not know: `bad` (line 1), `good` (line 2)
    hint: correct their spelling or add such rows to the training data; known labels: `LABEL_0`, `LABEL_1`, `LABEL_2`
    ");
}

#[test]
fn answers_that_cannot_be_written() {
    let place = sound();
    place.write("file", "");
    let arguments = ["predict", "--model", "base", "--backend", "flex"];
    let output = ["--text", "good film", "--output", "file/out.jsonl"];
    assert_snapshot!(place.refusal(&[&arguments[..], &output].concat()), @r"
    error: cannot write `file/out.jsonl`: Not a directory (os error 20)
    hint: choose another path, one that can be written
    ");
}

#[test]
fn answers_of_a_masked_language_model() {
    let place = sound();
    place.model("bert-mask", "words");
    let arguments = ["predict", "--text", "good film", "--backend", "flex"];
    let refused = || place.refusal(&[&arguments[..], &["--model", "words"]].concat());
    assert_snapshot!(refused(), @r"
    error: `words` is a masked language model: it has no answer to a row
    hint: train it on rows with labels first: `rekindle train --model words --data FILE`
    ");
    place.configure("words", &[("tie_word_embeddings", json!(false))]);
    assert_snapshot!(refused(), @r"
    error: cannot use `words/config.json`: `config.json` asks for `tie_word_embeddings` = `false`, which is not supported; known: true
    hint: copy it again from where the model came from, or choose another model
    ");
}

#[test]
fn keys_of_masks_for_another_task() {
    let place = sound();
    let whole = ["--set", "mask.whole_word=true"];
    assert_snapshot!(place.refused_training(&[&TRAIN[..], &whole].concat()), @r"
    error: `mask.whole_word` is for the task `mask`, and this run's is `classify`
    hint: remove `mask.whole_word`
    ");
}
