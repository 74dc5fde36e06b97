//! Models from scratch: a configuration and a tokenizer in place of a base.

use std::fs;

use insta::assert_snapshot;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::place::{Place, reviews};

const TRAIN: [&str; 4] = ["--set", "model.config=tiny.json", "--data", "train.jsonl"];

/// A place with the configuration of a small encoder in `tiny.json`, and a tokenizer in `words`.
fn place() -> Place {
    let place = Place::new();
    place.model("bert-single", "words");
    fs::remove_file(place.path("words/model.safetensors")).unwrap();
    let tokens = json!({"pad_token": "[PAD]", "cls_token": "[CLS]"});
    place.write("words/tokenizer_config.json", &tokens.to_string());
    place.configure("words", &[("initializer_range", json!(0.05))]);
    fs::rename(place.path("words/config.json"), place.path("tiny.json")).unwrap();
    place.rows("train.jsonl", &reviews(40, &["bad", "good"]));
    place
}

fn train(place: &Place, run: &str, flags: &[&str]) -> String {
    let tokenizer = ["--set", "model.tokenizer=words"];
    place
        .train_into(run, &[&TRAIN[..], &tokenizer, flags].concat())
        .err
}

/// The values of a tensor of a run's model.
fn tensor(place: &Place, run: &str, name: &str) -> Vec<f32> {
    let bytes = fs::read(place.path(&format!("{run}/model/model.safetensors"))).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = tensors.tensor(name).unwrap();
    let numbers = numbers.data().chunks_exact(4);
    numbers
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn deviation(values: &[f32]) -> f64 {
    let squares = values.iter().map(|&value| f64::from(value).powi(2));
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn a_classifier_learns_from_random_weights() {
    let place = place();
    let rates = ["--epochs", "20", "--learning-rate", "5e-3"];
    let flags = [&rates[..], &["--batch-size", "4"]].concat();
    let told = train(&place, "run", &flags);
    assert!(
        told.contains("from scratch: all weights are random"),
        "{told}"
    );
    assert!(
        told.contains("tensors are made from the seed\n"),
        "one line: {told}"
    );
    assert!(!told.contains("bert.encoder.layer"), "{told}");
    let start = place.event("run", "start");
    assert_eq!(start["model"], "tiny.json");
    let finish = place.event("run", "finish");
    assert_eq!(finish["best"], 1.0, "{finish}");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(place.has(&format!("run/model/{file}")), "{file}");
    }
    let text = ["--text", "the film was awful", "--backend", "flex"];
    let called = place.call(&[&["predict", "--model", "run"], &text[..]].concat());
    assert_eq!(called.expect_code(0).objects()[0]["label"], "bad");
}

#[test]
fn weights_are_drawn_as_transformers_draws_them() {
    let place = place();
    let still = ["--max-steps", "1", "--learning-rate", "1e-30"];
    train(&place, "run", &still);
    let words = tensor(&place, "run", "bert.embeddings.word_embeddings.weight");
    assert!(words[..16].iter().all(|&value| value == 0.0));
    assert!((deviation(&words[16..]) - 0.05).abs() < 0.01);
    let dense = "bert.encoder.layer.0.attention.self.query";
    let weight = tensor(&place, "run", &format!("{dense}.weight"));
    assert!((deviation(&weight) - 0.05).abs() < 0.01);
    let bias = tensor(&place, "run", &format!("{dense}.bias"));
    assert!(bias.iter().all(|value| value.abs() < 1e-20));
    let norm = tensor(&place, "run", "bert.embeddings.LayerNorm.weight");
    assert!(norm.iter().all(|&value| value == 1.0));
    // The seed decides, and nothing else.
    train(&place, "again", &still);
    assert_eq!(place.losses("again"), place.losses("run"));
    train(&place, "other", &[&still[..], &["--seed", "7"]].concat());
    let other = tensor(&place, "other", "bert.embeddings.word_embeddings.weight");
    assert_ne!(other, words);
}

#[test]
fn a_run_goes_on_with_the_same_configuration_alone() {
    let place = place();
    let flags = [
        "--max-steps",
        "6",
        "--set",
        "checkpoint.save_every=2",
        "--set",
        "checkpoint.keep_last=9",
    ];
    train(&place, "whole", &flags);
    train(&place, "run", &flags);
    fs::remove_dir_all(place.path("run/checkpoints/step-000006")).unwrap();
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    place
        .call(&["train", "run", "--resume", "--dashboard", "none"])
        .expect_code(0);
    assert_eq!(place.losses("run"), place.losses("whole"));
    let receipt: Value = serde_json::from_str(&place.read("run/receipt.json")).unwrap();
    let names: Vec<_> = receipt["base"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["config.json", "tokenizer.json"]);

    fs::remove_dir_all(place.path("run/checkpoints/step-000006")).unwrap();
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    let mut config: Value = serde_json::from_str(&place.read("tiny.json")).unwrap();
    config["initializer_range"] = json!(0.06);
    place.write("tiny.json", &config.to_string());
    let called = place.call(&["train", "run", "--resume"]).expect_code(2);
    assert!(
        called.err.contains("was made from other files"),
        "{}",
        called.err
    );
    assert!(
        called.err.contains("config.json: sha256 "),
        "{}",
        called.err
    );
}

#[test]
fn a_run_is_named_by_its_configuration() {
    let place = place();
    let rest = ["--backend", "flex", "--max-steps", "1"];
    let tokenizer = ["--set", "model.tokenizer=words/tokenizer.json"];
    let called = place.call(&[&["train"], &TRAIN[..], &tokenizer, &rest].concat());
    let saved = called.expect_code(0).out;
    assert!(saved.contains("-tiny-classify/model"), "{saved}");
}

#[test]
fn decoders_are_made_from_scratch_too() {
    for is_llama in [true, false] {
        let place = Place::new();
        if is_llama {
            place.llama();
        } else {
            place.gpt2();
        }
        // The tokenizer has others than these.
        let ids = [
            ("bos_token_id", json!(7)),
            ("eos_token_id", json!(8)),
            ("initializer_range", json!(0.1)),
        ];
        place.configure("base", &ids);
        let row = json!({"text": "once upon a time there was a hen"});
        place.rows("train.jsonl", &vec![row; 8]);
        let flags = ["--set", "model.config=base", "--data", "train.jsonl"];
        let rates = ["--epochs", "30", "--learning-rate", "5e-3"];
        let valid = ["--set", "data.valid_fraction=0"];
        let told = place.train(&[&flags[..], &rates, &valid].concat()).err;
        assert!(told.contains("`eos_token_id` is "), "{told}");
        let losses = place.losses("run");
        assert!((losses[0] - (400_f64).ln()).abs() < 1.0, "{losses:?}");
        assert!(losses.last().unwrap() < &0.5, "{losses:?}");
        let config: Value = serde_json::from_str(&place.read("run/model/config.json")).unwrap();
        assert_ne!(config["eos_token_id"], 8);
        let generate = ["generate", "--model", "run", "--backend", "flex"];
        let prompt = ["--prompt", "once upon a", "--max-tokens", "80"];
        let called = place.call(&[&generate[..], &prompt].concat());
        assert_eq!(called.expect_code(0).out, " time there was a hen\n");
    }
}

#[test]
fn a_configuration_beside_a_base_is_refused() {
    let place = place();
    assert_snapshot!(place.refused_training(&[&TRAIN[..], &["--model", "words"]].concat()), @r"
    error: `model.base` and `model.config` are both set
    hint: `base` is a model to start from (`--model`), `config` makes one with random weights; give one of the two
    ");
    assert_snapshot!(place.refused_training(&[&TRAIN[..], &["--method", "lora"]].concat()), @r#"
    error: `method.kind = "lora"` trains a part of a model, and with `model.config` all of it is random
    hint: leave the method out: frozen random weights teach nothing, so all of them must learn
    "#);
}

#[test]
fn a_tokenizer_is_needed_that_fits() {
    let place = place();
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: no `tokenizer.json` beside `tiny.json`, and `model.tokenizer` names none
    hint: name one with `--set model.tokenizer=DIR`; `rekindle tokenizer train` makes one
    ");
    let with = |tokenizer: &str| {
        let tokenizer = format!("model.tokenizer={tokenizer}");
        place.refused_training(&[&TRAIN[..], &["--set", &tokenizer]].concat())
    };
    assert_snapshot!(with("tiny.json"), @r"
    error: a tokenizer's file is called `tokenizer.json`: `tiny.json`
    hint: rename it, or give its folder
    ");
    let mut config: Value = serde_json::from_str(&place.read("tiny.json")).unwrap();
    config["vocab_size"] = json!(40);
    place.write("tiny.json", &config.to_string());
    assert_snapshot!(with("words"), @r"
    error: the tokenizer's highest id is 47, and `vocab_size` in `tiny.json` is 40
    hint: set `vocab_size` in it to 48, or more
    ");
    fs::remove_file(place.path("tiny.json")).unwrap();
    assert_snapshot!(with("words"), @r"
    error: cannot read `tiny.json`: No such file or directory (os error 2)
    hint: look at the path and its permissions
    ");
}
