//! Training: every method, and every way to set and to show it.

use std::collections::BTreeMap;
use std::fs;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::place::{Place, reviews};

const TRAIN: [&str; 6] = [
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--batch-size",
    "8",
];

/// Tensors of a model by name, as bytes.
fn tensors(place: &Place, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(place.path(folder).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView)| {
        let name = name.trim_start_matches("bert.");
        (name.to_owned(), view.data().to_vec())
    };
    tensors.iter().map(tensor).collect()
}

/// Parts of the model whose weights a run moved.
fn moved(place: &Place, run: &str) -> Vec<String> {
    let before = tensors(place, "base");
    let after = tensors(place, &format!("{run}/model"));
    let differs = |(name, values): &(&String, &Vec<u8>)| before.get(*name) != Some(values);
    let part = |(name, _): (&String, _)| {
        let end = name.find(".attention").or(name.find(".intermediate"));
        let end = end.or(name.find(".output")).or(name.find('.'));
        name[..end.unwrap_or(name.len())].to_owned()
    };
    let mut parts: Vec<_> = after.iter().filter(differs).map(part).collect();
    parts.dedup();
    parts
}

#[test]
fn the_full_method_moves_every_part() {
    let place = Place::with_reviews();
    place.train(&[&TRAIN[..], &["--max-steps", "2"]].concat());
    let parts = [
        "classifier",
        "embeddings",
        "encoder.layer.0",
        "encoder.layer.1",
        "pooler",
    ];
    assert_eq!(moved(&place, "run"), parts);
    let start = place.event("run", "start");
    assert_eq!(start["trainable_parameters"], start["parameters"]);
}

#[test]
fn the_head_method_moves_the_head_alone() {
    let place = Place::with_reviews();
    place.train(&[&TRAIN[..], &["--max-steps", "2", "--method", "head"]].concat());
    assert_eq!(moved(&place, "run"), ["classifier", "pooler"]);
    // A matrix of 16 × 16 and one of 16 × 2, each with its bias.
    assert_eq!(
        place.event("run", "start")["trainable_parameters"],
        16 * 17 + 2 * 17
    );
    let recipe = place.read("run/recipe.toml");
    assert!(recipe.contains("learning_rate = 0.001\n"), "{recipe}");
}

#[test]
fn the_last_layers_learn_slower_the_lower_they_are() {
    let place = Place::with_reviews();
    let method = ["--method", "last-layers", "--set", "method.layers=1"];
    let decay = ["--set", "method.layer_decay=0.5"];
    let few = [
        &TRAIN[..],
        &method,
        &["--max-steps", "2", "--set", "train.warmup=0"],
    ]
    .concat();
    place.train(&few);
    let expected = ["classifier", "encoder.layer.1", "pooler"];
    assert_eq!(moved(&place, "run"), expected);
    place.train_into("decayed", &[&few[..], &decay].concat());
    assert_eq!(moved(&place, "decayed"), expected);
    let change = |run: &str, name: &str| -> f64 {
        let [before, after] = ["base", &format!("{run}/model")].map(|folder| {
            let bytes = tensors(&place, folder).remove(name).unwrap();
            let floats = bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            floats.collect::<Vec<_>>()
        });
        let squares = before
            .iter()
            .zip(&after)
            .map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let block = "encoder.layer.1.output.dense.weight";
    let ratio = change("decayed", block) / change("run", block);
    // AdamW's step is about the learning rate in size, whatever the gradient.
    assert!((ratio - 0.5).abs() < 0.05, "{ratio}");
    let head = change("decayed", "pooler.dense.weight") / change("run", "pooler.dense.weight");
    assert!((head - 1.0).abs() < 0.05, "{head}");
}

#[test]
fn steps_and_rates_are_those_of_the_flags() {
    let place = Place::with_reviews();
    let flags = [
        "--max-steps",
        "4",
        "--learning-rate-multiplier",
        "2",
        "--set",
        "train.warmup=1",
    ];
    place.train(&[&TRAIN[..], &flags].concat());
    let steps = place.objects("run/events.jsonl").into_iter();
    let rates: Vec<f64> = steps
        .filter(|event| event["event"] == "step")
        .map(|step| step["learning_rate"].as_f64().unwrap())
        .collect();
    // The fixture is a small model.
    let peak = 2.0 * 6.0 * 5e-5;
    let expected = [0.0, peak, peak * 2.0 / 3.0, peak / 3.0];
    for (found, expected) in rates.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{rates:?}");
    }
    assert_eq!(rates.len(), 4);
}

#[test]
fn flags_win_over_the_recipe() {
    let place = Place::with_reviews();
    let recipe = "[model]\nbase = \"base\"\n[data]\ntrain = [\"train.jsonl\"]\nvalid_fraction = 0.0\n\
                  [train]\nmax_steps = 9\nbatch_size = 4\n";
    place.write("recipe.toml", recipe);
    place.train(&["recipe.toml", "--max-steps", "2"]);
    let start = place.event("run", "start");
    assert_eq!(start["steps"], 2);
    assert_eq!(start["valid_rows"], 0);
    assert_eq!(place.event("run", "finish")["best_step"], 2);
}

#[test]
fn the_json_dashboard_prints_the_events_alone() {
    let place = Place::with_reviews();
    let called = place.train(&[&TRAIN[..], &["--max-steps", "2", "--dashboard", "json"]].concat());
    let untimed = |mut event: Value| {
        event.as_object_mut().unwrap().shift_remove("time");
        event
    };
    let printed: Vec<_> = called.objects().into_iter().map(untimed).collect();
    let logged = place.objects("run/events.jsonl").into_iter().map(untimed);
    assert_eq!(printed, logged.collect::<Vec<_>>());
    assert!(
        called.err.contains("model saved in run/model"),
        "{}",
        called.err
    );
}

#[test]
fn no_dashboard_prints_the_result_alone() {
    let place = Place::with_reviews();
    let called = place.train(&[&TRAIN[..], &["--max-steps", "2", "--dashboard", "none"]].concat());
    assert_eq!(called.err, "");
    let lines: Vec<&str> = called.out.lines().collect();
    assert!(lines[0].starts_with("best accuracy 0."), "{lines:?}");
    assert!(lines[0].ends_with(", after step 2 of 2"), "{lines:?}");
    assert_eq!(lines[1], "model saved in run/model");
}

#[test]
fn the_plain_dashboard_tells_the_plan_and_the_steps() {
    let place = Place::with_reviews();
    place.rows("valid.jsonl", &reviews(4, &["bad", "good"])[..3]);
    let flags = [
        "--max-steps",
        "2",
        "--dashboard",
        "plain",
        "--valid",
        "valid.jsonl",
    ];
    let called = place.train(&[&TRAIN[..], &flags].concat());
    let told = |text: &str| called.err.lines().any(|line| line.starts_with(text));
    for beginning in [
        "train.jsonl: 20 rows, JSON Lines (extension `.jsonl`), task classify",
        "2 labels: bad, good",
        "20 training rows (",
        "2 steps, 3 an epoch, the first 1 with a rising learning rate",
        "  [CLS] the film was awful [SEP]  =>  bad",
        "a model that learned nothing: always `good`: accuracy 0.3333",
        "warning: 3 of 3 validation rows have a text that is also in the training rows",
        "backend flex (processor, ",
        "made from the seed: classifier.weight, classifier.bias",
        "step 1/2  loss ",
        "step 2/2  loss ",
        "finished after 2 steps in 0:0",
    ] {
        assert!(told(beginning), "`{beginning}` in:\n{}", called.err);
    }
}

#[test]
fn the_bundled_reviews_are_the_data_when_none_is_given() {
    let place = Place::with_reviews();
    let called = place.train(&["--model", "base", "--max-steps", "1"]);
    let start = place.event("run", "start");
    assert!(start["train_rows"].as_u64().unwrap() >= 480, "{start}");
    assert!(start["valid_rows"].as_u64().unwrap() > 0, "{start}");
    assert!(
        called.err.contains("2 labels: negative, positive\n"),
        "{}",
        called.err
    );
}

#[test]
fn a_run_that_diverges_ends_and_keeps_nothing_of_it() {
    let place = Place::with_reviews();
    let wild = ["--learning-rate", "1e38", "--set", "train.warmup=0"];
    let always = ["train", "--backend", "flex", "--output", "run"];
    let called = place
        .call(&[&always[..], &TRAIN, &wild].concat())
        .expect_code(1);
    let error = called
        .err
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    let expected = "error: the loss was not finite in 5 steps in a row, last NaN in step 6 (rows ";
    assert!(error.starts_with(expected), "{error}");
    let skips = place.objects("run/events.jsonl").into_iter();
    let skips = skips.filter(|event| event["event"] == "skip").count();
    assert_eq!(skips, 5);
    let unsaved = "no checkpoint of step 3, the next one is tried in its turn: ";
    assert!(called.err.contains(unsaved), "{}", called.err);
    let hint = called.err.lines().last().unwrap();
    assert!(hint.starts_with("hint: lower `--learning-rate`"), "{hint}");
    assert_eq!(place.losses("run").len(), 1);
    assert!(!place.has("run/model"));
}
