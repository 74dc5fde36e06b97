//! The output layer of language models: adapted, tied to the embedding, trained alone.

use std::fs;

use insta::assert_snapshot;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::place::Place;

const TRAIN: [&str; 12] = [
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--max-steps",
    "4",
    "--set",
    "data.valid_fraction=0",
    "--set",
    "train.learning_rate=0.05",
    "--set",
    "checkpoint.save_every=0",
];

const LORA: [&str; 4] = [
    "--method",
    "lora",
    "--set",
    "method.targets=[\"q_proj\", \"lm_head\"]",
];

/// The adapter's file of a run.
const FILE: &str = "run/model/adapter_model.safetensors";

fn place() -> Place {
    let place = Place::new();
    place.llama();
    let row = |word: &str| json!({"prompt": format!("say {word}: "), "completion": word});
    place.rows("train.jsonl", &["one", "two", "three"].map(row));
    place
}

/// A place whose model's output layer is its embedding.
fn tied() -> Place {
    let place = place();
    place.configure("base", &[("tie_word_embeddings", json!(true))]);
    place
}

fn losses(place: &Place, model: &str) -> Vec<f64> {
    let always = ["eval", "--model", model, "--backend", "flex", "--json"];
    let rows = ["--data", "train.jsonl", "--per-example", "rows.jsonl"];
    place.call(&[&always[..], &rows].concat()).expect_code(0);
    let rows = place.objects("rows.jsonl").into_iter();
    rows.map(|row| row["nll"].as_f64().unwrap()).collect()
}

/// Adds a tensor of the base, times a factor, to the adapter's file, as peft does.
fn add_copy(place: &Place, factor: f32) {
    let base = fs::read(place.path("base/model.safetensors")).unwrap();
    let base = SafeTensors::deserialize(&base).unwrap();
    let weight = base.tensor("lm_head.weight").unwrap();
    let bytes: Vec<u8> = weight
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .flat_map(|bytes| (f32::from_le_bytes(*bytes) * factor).to_le_bytes())
        .collect();
    let copy =
        safetensors::tensor::TensorView::new(weight.dtype(), weight.shape().to_vec(), &bytes);
    let adapter = fs::read(place.path(FILE)).unwrap();
    let adapter = SafeTensors::deserialize(&adapter).unwrap();
    let mut tensors = adapter.tensors();
    let name = "base_model.model.lm_head.base_layer.weight".to_owned();
    tensors.retain(|(known, _)| *known != name);
    tensors.push((name, copy.unwrap()));
    fs::write(
        place.path(FILE),
        safetensors::serialize(tensors, None).unwrap(),
    )
    .unwrap();
}

fn refused(place: &Place, arguments: &[&str]) -> String {
    place.refused_training(&[&TRAIN[..], arguments].concat())
}

#[test]
fn an_adapted_output_layer_answers_as_it_was_trained() {
    let place = place();
    let called = place.train(&[&TRAIN[..], &LORA].concat());
    assert!(called.err.contains("1 × lm_head"), "{}", called.err);
    let before = losses(&place, "base");
    let expected = losses(&place, "run");
    assert!(expected.iter().sum::<f64>() < 0.9 * before.iter().sum::<f64>());
    let export = ["export", "--model", "run", "--to", "merged"];
    let to = ["--output", "merged", "--backend", "flex"];
    place.call(&[&export[..], &to].concat()).expect_code(0);
    for (found, expected) in losses(&place, "merged").iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    // What peft stores beside it is the base's own.
    add_copy(&place, 1.0);
    assert_eq!(losses(&place, "run"), expected);
    add_copy(&place, 1.5);
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
    let base = place.path("base");
    let told = format!(
        "holds `lm_head.base_layer.weight`, and its base `{}` has other values there",
        base.display()
    );
    assert!(refused.contains(&told), "{refused}");
}

#[test]
fn an_adapter_on_an_output_layer_that_is_the_embedding_is_refused() {
    let place = place();
    place.train(&[&TRAIN[..], &LORA].concat());
    place.configure("base", &[("tie_word_embeddings", json!(true))]);
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
    let base: Value = serde_json::from_str(&place.read("run/model/adapter_config.json")).unwrap();
    let base = base["base_model_name_or_path"].as_str().unwrap();
    assert_snapshot!(refused.replace(base, "base"), @r#"
    error: the adapter `run/model` changes the output layer, and in its base `base` that is the embedding
      `lm_head.lora_A.weight`
      `lm_head.lora_B.weight`
    hint: train it again without `lm_head` in `target_modules` and `modules_to_save`, or on a base whose `config.json` says `"tie_word_embeddings": false`
    "#);
}

#[test]
fn an_output_layer_that_is_the_embedding_gets_no_adapter() {
    let place = tied();
    let told = refused(&place, &LORA);
    assert_snapshot!(told, @r"
    error: `lm_head` is no layer of its own in this model: its output layer is its embedding
    hint: leave `lm_head` out of `targets` and `modules_to_save`, or train all weights: `--method full`
    ");
    let saved = [
        "--method",
        "lora",
        "--set",
        "method.modules_to_save=[\"lm_head\"]",
    ];
    assert_eq!(refused(&place, &saved), told);
}

#[test]
fn a_pattern_without_a_layer_is_told_as_it_was_given() {
    let refused = refused(
        &place(),
        &["--method", "lora", "--set", "method.targets='q_proj'"],
    );
    assert_snapshot!(refused, @r#"
    error: no linear layer has a name that is, as a whole, `q_proj`
    hint: one string is a pattern for whole names, a list has names or their ends: `["q_proj"]`; there are: self_attn.q_proj, self_attn.k_proj, self_attn.v_proj, self_attn.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj, lm_head
    "#);
}

#[test]
fn the_head_method_needs_a_head() {
    let refused = refused(&tied(), &["--method", "head"]);
    assert_snapshot!(refused, @r#"
    error: `method = "head"` has nothing to train here: the output layer of this model is its embedding
    hint: `--method last-layers` trains the blocks next to it, `--method lora` adapters in all of them
    "#);
    let place = place();
    place.train(&[&TRAIN[..], &["--method", "head"]].concat());
    // The output layer, and the norm before it.
    let start = place.event("run", "start");
    assert_eq!(start["trainable_parameters"], 400 * 48 + 48);
}
