//! Low-rank adapters: trained, answered with, gone on with, exported, and refused.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::Place;

const LORA: [&str; 8] = [
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--method",
    "lora",
    "--max-steps",
    "8",
];

/// Logits of the training rows.
fn logits(place: &Place, model: &str) -> Vec<f64> {
    let flags = ["--backend", "flex", "--logits"];
    let arguments = [
        &["predict", "--model", model, "--input", "train.jsonl"],
        flags.as_slice(),
    ];
    let called = place.call(&arguments.concat()).expect_code(0);
    let rows = called.objects().into_iter();
    rows.flat_map(|row| row["logits"].as_array().unwrap().clone())
        .map(|logit| logit.as_f64().unwrap())
        .collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

fn export<'a>(model: &'a str, to: &'a str, output: &'a str) -> [&'a str; 9] {
    [
        "export",
        "--model",
        model,
        "--to",
        to,
        "--output",
        output,
        "--backend",
        "flex",
    ]
}

/// Changes the tensors of an adapter, by their names in the file.
fn edit_config(place: &Place, folder: &str, field: &str, value: Value) {
    let file = format!("{folder}/adapter_config.json");
    let mut config: Value = serde_json::from_str(&place.read(&file)).unwrap();
    config[field] = value;
    place.write(&file, &config.to_string());
}

/// Gives tensors of an adapter other names, of the same length.
fn rename(place: &Place, folder: &str, from: &str, to: &str) {
    let path = place.path(&format!("{folder}/adapter_model.safetensors"));
    let mut bytes = fs::read(&path).unwrap();
    let mut places: Vec<usize> = Vec::new();
    for (start, window) in bytes.windows(from.len()).enumerate() {
        if window == from.as_bytes() {
            places.push(start);
        }
    }
    assert!(!places.is_empty(), "the file holds `{from}`");
    for start in places {
        bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn an_adapter_is_what_the_run_trained() {
    let place = Place::with_reviews();
    let called = place.train(&LORA);
    assert!(
        called.err.contains("adapters on: 2 × attention.self.query"),
        "{}",
        called.err
    );
    let start = place.event("run", "start");
    assert!(start["trainable_parameters"].as_u64() < start["parameters"].as_u64());
    assert!(!place.has("run/model/model.safetensors"));
    let config: Value = serde_json::from_str(&place.read("run/model/adapter_config.json")).unwrap();
    assert_eq!(config["r"], 8);
    assert_eq!(config["lora_alpha"], 16);
    assert_eq!(config["task_type"], "SEQ_CLS");
    assert_eq!(
        config["modules_to_save"],
        json!(["classifier"]),
        "the head is new"
    );
    let config: Value = serde_json::from_str(&place.read("run/model/config.json")).unwrap();
    assert_eq!(config["id2label"], json!({"0": "bad", "1": "good"}));
    let recipe = place.read("run/recipe.toml");
    assert!(recipe.contains("rank = 8"), "{recipe}");
    assert!(recipe.contains("learning_rate = 0.0012"), "{recipe}");
    assert_eq!(logits(&place, "run"), logits(&place, "run/model"));
}

#[test]
fn a_merged_adapter_answers_as_before_and_is_not_merged_twice() {
    let place = Place::with_reviews();
    place.train(&LORA);
    place
        .call(&export("run", "merged", "merged"))
        .expect_code(0);
    assert_near(&logits(&place, "merged"), &logits(&place, "run"));
    assert!(place.has("merged/tokenizer.json"));
    assert!(!place.has("merged/adapter_config.json"));
    place.call(&export("run", "adapter", "copy")).expect_code(0);
    assert_eq!(logits(&place, "copy"), logits(&place, "run"));
    let again = place
        .call(&export("merged", "merged", "twice"))
        .expect_code(2);
    assert_snapshot!(again.err, @r"
    error: `merged` has no adapter: nothing to merge
    hint: it is a full model as it is; `--to merged --dtype f16` writes it in half the bytes
    ");
    let occupied = place
        .call(&export("run", "merged", "merged"))
        .expect_code(2);
    assert_snapshot!(occupied.err, @r"
    error: output folder `merged` is not empty
    hint: choose another `--output`, or remove the folder
    ");
}

#[test]
fn weights_are_written_in_half_the_bytes_with_an_adapter_or_without() {
    let place = Place::with_reviews();
    place.train(&LORA);
    let halved =
        |model, output| [&export(model, "merged", output)[..], &["--dtype", "f16"]].concat();
    place
        .call(&export("run", "merged", "merged"))
        .expect_code(0);
    place.call(&halved("run", "at-once")).expect_code(0);
    place.call(&halved("merged", "halved")).expect_code(0);
    let bytes =
        |folder: &str| fs::read(place.path(&format!("{folder}/model.safetensors"))).unwrap();
    assert!(bytes("halved").len() * 10 < bytes("merged").len() * 6);
    assert!(bytes("halved") == bytes("at-once"), "one way or the other");
    assert!(
        place
            .read("halved/config.json")
            .contains(r#""dtype": "float16""#)
    );
    assert!(place.has("halved/tokenizer.json"));
    let pairs = logits(&place, "halved")
        .into_iter()
        .zip(logits(&place, "merged"));
    for (halved, merged) in pairs {
        assert!((halved - merged).abs() < 1e-2, "{halved} and {merged}");
    }
    let copy = [&export("run", "adapter", "copy")[..], &["--dtype", "f16"]].concat();
    let refused = place.call(&copy).expect_code(2);
    assert!(refused.err.contains("--dtype"), "{}", refused.err);
    assert!(!place.has("copy"));
}

#[test]
fn an_adapter_is_gone_on_with_as_it_is() {
    let place = Place::with_reviews();
    place.train(&[LORA.as_slice(), &["--set", "method.rank=4"]].concat());
    let more = [
        "--model",
        "run",
        "--data",
        "train.jsonl",
        "--max-steps",
        "4",
    ];
    let called = place.train_into("more", &more);
    let note = "the model is an adapter: it goes on with its rank and its layers";
    assert!(called.err.contains(note), "{}", called.err);
    let recipe = place.read("more/recipe.toml");
    assert!(recipe.contains("kind = \"lora\""), "{recipe}");
    assert!(recipe.contains("rank = 4"), "{recipe}");
    let of = |run: &str| -> Value {
        serde_json::from_str(&place.read(&format!("{run}/model/adapter_config.json"))).unwrap()
    };
    assert_eq!(of("more"), of("run"));
    assert_ne!(logits(&place, "more"), logits(&place, "run"));
    // The first step begins where the adapter was left.
    assert!(place.losses("more")[0] < place.losses("run")[0]);
    let other = ["--method", "lora", "--set", "method.rank=8"];
    let arguments = ["train", "--backend", "flex", "--output", "other"];
    let refused = place
        .call(&[arguments.as_slice(), &more, &other].concat())
        .expect_code(2);
    assert!(
        refused.err.contains("goes on with `method.rank = 4`"),
        "{}",
        refused.err
    );
    assert!(!place.has("other"));
}

#[test]
fn a_run_with_adapters_resumes_to_the_same_weights() {
    let place = Place::with_reviews();
    place.train(&LORA);
    let stopped = [LORA.as_slice(), &["--set", "checkpoint.save_every=4"]].concat();
    place.train_into("other", &stopped);
    fs::remove_dir_all(place.path("other/checkpoints/step-000008")).unwrap();
    fs::remove_file(place.path("other/receipt.json")).unwrap();
    place
        .call(&["train", "other", "--resume", "--backend", "flex"])
        .expect_code(0);
    assert_eq!(logits(&place, "other"), logits(&place, "run"));
}

#[test]
fn targets_without_a_layer_are_refused() {
    let place = Place::with_reviews();
    let targets = ["--set", "method.targets=[\"querry\"]"];
    assert_snapshot!(place.refused_training(&[LORA.as_slice(), &targets].concat()), @r"
    error: no linear layer is called `querry`
    hint: there are: attention.self.query, attention.self.key, attention.self.value, attention.output.dense, intermediate.dense, output.dense, bert.pooler.dense, classifier
    ");
    let saved = ["--set", "method.modules_to_save=[\"poler\"]"];
    let refused = place.refused_training(&[LORA.as_slice(), &saved].concat());
    assert!(
        refused.starts_with("error: no module to be trained in full is called `poler`"),
        "{refused}"
    );
}

#[test]
fn an_adapter_without_its_base_is_refused() {
    let place = Place::with_reviews();
    place.train(&LORA);
    let expected = logits(&place, "run");
    fs::rename(place.path("base"), place.path("moved")).unwrap();
    let predict = [
        "predict",
        "--model",
        "run/model",
        "--text",
        "a",
        "--backend",
        "flex",
    ];
    let refused = place.call(&predict).expect_code(2).err;
    assert!(refused.contains("cannot find the base `"), "{refused}");
    assert!(refused.contains("--base DIR --to merged"), "{refused}");
    let found = [&export("run", "merged", "merged")[..], &["--base", "moved"]].concat();
    place.call(&found).expect_code(0);
    assert_near(&logits(&place, "merged"), &expected);
    // A base may lie beside its adapter.
    edit_config(
        &place,
        "run/model",
        "base_model_name_or_path",
        json!("../../moved"),
    );
    assert_eq!(logits(&place, "run"), expected);
}

#[test]
fn an_adapter_of_another_base_is_refused_with_names_and_shapes() {
    let place = Place::with_reviews();
    place.train(&LORA);
    edit_config(&place, "run/model", "r", json!(4));
    let predict = [
        "predict",
        "--model",
        "run",
        "--text",
        "a",
        "--backend",
        "flex",
    ];
    let refused = place.call(&predict).expect_code(2).err;
    assert!(
        refused.contains("is an adapter for another base than"),
        "{refused}"
    );
    let line = "`bert.pooler.dense.lora_A.weight`: expected [4, 16], found [8, 16]";
    assert!(refused.contains(line), "{refused}");
}

#[test]
fn missing_and_unknown_tensors_of_an_adapter_are_all_told() {
    let place = Place::with_reviews();
    place.train(&LORA);
    rename(
        &place,
        "run/model",
        "0.attention.self.query",
        "0.attention.self.quary",
    );
    let predict = [
        "predict",
        "--model",
        "run",
        "--text",
        "a",
        "--backend",
        "flex",
    ];
    let refused = place.call(&predict).expect_code(2).err;
    for line in [
        "error: the tensors of the adapter",
        "missing: `bert.encoder.layer.0.attention.self.query.lora_A.weight` (nearest: `",
        "missing: `bert.encoder.layer.0.attention.self.query.lora_B.weight`",
        "unused: `bert.encoder.layer.0.attention.self.quary.lora_A.weight`",
    ] {
        assert!(refused.contains(line), "{line}\n{refused}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let place = Place::with_reviews();
    place.train(&LORA);
    edit_config(&place, "run/model", "use_dora", json!(true));
    edit_config(&place, "run/model", "bias", json!("all"));
    let predict = [
        "predict",
        "--model",
        "run",
        "--text",
        "a",
        "--backend",
        "flex",
    ];
    let refused = place.call(&predict).expect_code(2).err;
    assert!(
        refused.contains("uses what is not supported: `use_dora: true`, `bias: \"all\"`"),
        "{refused}"
    );
}
