//! `tokenizer train`, and a model from scratch with what it makes.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::{Place, reviews};

const TOKENIZER: [&str; 6] = ["tokenizer", "train", "--output", "words", "--data", "texts"];

/// A model from scratch, with the pieces that [`train`] makes.
const SCRATCH: [&str; 4] = [
    "--set",
    "model.config=tiny.json",
    "--set",
    "model.tokenizer=words",
];

/// A place with texts in a folder, plain and as JSON lines.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir_all(place.path("texts/more")).unwrap();
    let rows = reviews(30, &["bad", "good"]);
    place.rows("train.jsonl", &rows);
    place.rows("texts/more/rows.jsonl", &rows);
    place.write(
        "texts/lines.txt",
        "A hen was very good.\n\nThe hen was awful!\n",
    );
    place.write("texts/.hidden.txt", "zebra\n");
    place
}

fn train(place: &Place, kind: &str, size: &str) -> String {
    let flags = ["--kind", kind, "--vocab-size", size];
    place
        .call(&[&TOKENIZER[..], &flags].concat())
        .expect_code(0)
        .err
}

/// The configuration of an encoder with 60 tokens.
fn encoder() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32,
    })
}

#[test]
fn an_encoder_from_scratch_uses_the_new_pieces() {
    let place = place();
    assert_snapshot!(train(&place, "wordpiece", "60"), @r"
    60 tokens from 32 texts with 14 different words, written to words
    use it: rekindle train --set model.config=CONFIG.json --set model.tokenizer=words --data FILE
    ");
    place.write("tiny.json", &encoder().to_string());
    let flags = ["--data", "train.jsonl", "--max-steps", "2"];
    let told = place.train(&[&SCRATCH[..], &flags].concat()).err;
    assert!(
        told.contains("[CLS] the film was awful [SEP]  =>  bad"),
        "{told}"
    );
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        assert_eq!(
            place.read(&format!("run/model/{file}")),
            place.read(&format!("words/{file}"))
        );
    }
}

#[test]
fn hidden_words_are_learned_from_scratch() {
    let place = place();
    train(&place, "wordpiece", "60");
    place.write("tiny.json", &encoder().to_string());
    let flags = ["--task", "mask", "--data", "texts", "--max-length", "16"];
    let rates = ["--epochs", "12", "--learning-rate", "1e-2"];
    place.train(&[&SCRATCH[..], &flags, &rates].concat());
    let losses = place.losses("run");
    // At first each token is as likely as any other.
    assert!((losses[0] - 60_f64.ln()).abs() < 0.7, "{losses:?}");
    assert!(losses.last().unwrap() < &(losses[0] - 0.7), "{losses:?}");
    let config: Value = serde_json::from_str(&place.read("run/model/config.json")).unwrap();
    assert_eq!(config["architectures"][0], "BertForMaskedLM");
    assert_eq!(config["pad_token_id"], 0);
}

#[test]
fn a_decoder_from_scratch_uses_the_new_bytes() {
    let place = place();
    train(&place, "bpe", "300");
    let config = json!({
        "model_type": "gpt2", "vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2,
        "n_positions": 32,
    });
    place.write("tiny.json", &config.to_string());
    place.rows(
        "texts.jsonl",
        &[
            json!({"text": "the hen was good"}),
            json!({"text": "a hen"}),
        ],
    );
    let flags = [
        "--data",
        "texts.jsonl",
        "--max-steps",
        "1",
        "--set",
        "data.valid_fraction=0",
    ];
    place.train(&[&SCRATCH[..], &flags].concat());
    let config: Value = serde_json::from_str(&place.read("run/model/config.json")).unwrap();
    assert_eq!(config["eos_token_id"], 0);
    assert_eq!(config["bos_token_id"], 0);
}

#[test]
fn what_gives_no_tokenizer_is_refused() {
    let place = place();
    let refusal = |flags: &[&str]| place.refusal(&[&TOKENIZER[..], flags].concat());
    assert_snapshot!(refusal(&["--kind", "wordpiece", "--vocab-size", "20"]), @r"
    error: a vocabulary of 20 tokens has no room for 5 special tokens and 40 of the alphabet
    hint: give `--vocab-size 45`, better some thousands more
    ");
    place.write("empty.txt", "\n");
    let empty = [
        "tokenizer",
        "train",
        "--kind",
        "bpe",
        "--vocab-size",
        "300",
        "--output",
        "words",
    ];
    assert_snapshot!(place.refusal(&[&empty[..], &["--data", "empty.txt"]].concat()), @r"
    error: there is no text to make a tokenizer from: 0 texts, and no word in them
    hint: give text files, or JSON lines with `text`
    ");
    place.rows("bad.jsonl", &[json!({"text": "a"}), json!({"txt": "b"})]);
    assert_snapshot!(place.refusal(&[&empty[..], &["--data", "bad.jsonl"]].concat()), @r"
    error: 1 of 2 rows in `bad.jsonl` cannot be used
    bad.jsonl:2: field `text`: is missing; the row has `txt` (add the text or remove the row)
    ");
    std::fs::create_dir(place.path("words")).unwrap();
    place.write("words/mine", "");
    assert_snapshot!(refusal(&["--kind", "bpe", "--vocab-size", "300"]), @r"
    error: output folder `words` is not empty
    hint: choose another `--output`, or remove the folder
    ");
}
