//! When a trained head is kept, and when another one takes its place.

use serde_json::{Value, json};

use crate::place::{Place, reviews};

/// A model whose head answers these labels, in this order, and reviews with the labels of the data.
fn place(head: [&str; 3], labels: &[&str]) -> Place {
    let place = Place::new();
    place.model("bert-single", "base");
    let names = head
        .iter()
        .enumerate()
        .map(|(id, name)| (id.to_string(), json!(name)));
    place.configure("base", &[("id2label", Value::Object(names.collect()))]);
    place.rows("train.jsonl", &reviews(18, labels));
    place
}

const TRAIN: [&str; 6] = [
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--max-steps",
    "1",
];

fn config(place: &Place) -> Value {
    serde_json::from_str(&place.read("run/model/config.json")).unwrap()
}

#[test]
fn a_head_for_the_same_labels_is_kept_in_its_order() {
    let place = place(["so", "bad", "good"], &["bad", "good", "so"]);
    let called = place.train(&TRAIN);
    assert_eq!(place.event("run", "load")["fresh"], json!([]));
    assert!(!called.err.contains("a new one is made"), "{}", called.err);
    let expected = json!({"0": "so", "1": "bad", "2": "good"});
    assert_eq!(config(&place)["id2label"], expected);
    assert_eq!(
        config(&place)["label2id"],
        json!({"so": 0, "bad": 1, "good": 2})
    );
}

#[test]
fn a_head_for_as_many_other_labels_is_replaced_with_a_warning() {
    let place = place(["x", "y", "z"], &["good", "bad", "so"]);
    let called = place.train(&TRAIN);
    let load = place.event("run", "load");
    assert_eq!(
        load["fresh"],
        json!(["classifier.weight", "classifier.bias"])
    );
    let warning =
        "the base's head is for another task or other labels (x, y, z): a new one is made";
    assert_eq!(place.event("run", "warning")["message"], warning);
    assert!(
        called.err.contains(&format!("warning: {warning}\n")),
        "{}",
        called.err
    );
    let expected = json!({"0": "bad", "1": "good", "2": "so"});
    assert_eq!(config(&place)["id2label"], expected);
}

#[test]
fn a_head_for_another_number_of_labels_is_replaced_with_a_warning() {
    let place = place(["bad", "good", "so"], &["bad", "good"]);
    place.train(&TRAIN);
    let load = place.event("run", "load");
    assert_eq!(
        load["fresh"],
        json!(["classifier.weight", "classifier.bias"])
    );
    assert!(place.event("run", "warning")["message"].is_string());
    assert_eq!(config(&place)["id2label"], json!({"0": "bad", "1": "good"}));
}

#[test]
fn a_head_for_another_task_is_replaced_with_a_warning() {
    let place = place(["bad", "good", "so"], &["bad", "good", "so"]);
    let lists = reviews(18, &["bad", "good", "so"])
        .into_iter()
        .map(|mut row| {
            row["label"] = json!([row["label"]]);
            row
        });
    place.rows("train.jsonl", &lists.collect::<Vec<_>>());
    place.train(&TRAIN);
    assert_eq!(place.event("run", "start")["task"], "multi-label");
    assert!(place.event("run", "warning")["message"].is_string());
    assert_eq!(config(&place)["problem_type"], "multi_label_classification");
}

#[test]
fn a_fresh_head_needs_no_warning() {
    let place = Place::with_reviews();
    let called = place.train(&TRAIN);
    assert!(!called.err.contains("a new one is made"), "{}", called.err);
    assert_eq!(
        place.event("run", "load")["unused"],
        json!(["embeddings.position_ids"])
    );
}

#[test]
fn a_run_folder_is_trained_further() {
    let place = place(["bad", "good", "so"], &["bad", "good"]);
    let longer = [
        "--epochs",
        "40",
        "--learning-rate",
        "3e-3",
        "--set",
        "checkpoint.keep_best=false",
    ];
    place.train(&[&TRAIN[..4], &longer].concat());
    let further = [
        "--model",
        "run",
        "--data",
        "train.jsonl",
        "--max-steps",
        "1",
    ];
    place.train_into("further", &further);
    assert_eq!(place.event("further", "load")["fresh"], json!([]));
    let (first, learned) = (place.losses("run")[0], place.losses("further")[0]);
    assert!(learned < 0.5 * first, "{first} and then {learned}");
}

#[test]
fn two_labels_without_names_are_those_of_transformers() {
    let place = place(["bad", "good", "so"], &["bad", "good"]);
    place.train(&TRAIN);
    place.configure(
        "run/model",
        &[("id2label", json!(null)), ("label2id", json!(null))],
    );
    let arguments = [
        "predict",
        "--model",
        "run",
        "--backend",
        "flex",
        "--text",
        "a film",
    ];
    let answers = place.call(&arguments).expect_code(0).objects();
    let scores: Vec<_> = answers[0]["scores"].as_object().unwrap().keys().collect();
    assert_eq!(scores, ["LABEL_0", "LABEL_1"]);
}
