//! What a run writes into its folder.

use std::fs;

use serde_json::{Value, json};

use crate::place::{Place, keys};

const TRAIN: [&str; 6] = [
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--batch-size",
    "8",
];

#[test]
fn a_run_leaves_a_folder_with_all_its_files() {
    let place = Place::with_reviews();
    let called = place.train(&[&TRAIN[..], &["--epochs", "2"]].concat());
    assert_eq!(
        called.out,
        "best accuracy 0.5000, after epoch 1 of 2\nmodel saved in run/model\nreport: run/report.html\ntry it: rekindle predict --model run --text \"...\"\n"
    );
    let files = [
        "events.jsonl",
        "metrics.csv",
        "receipt.json",
        "recipe.toml",
        "report.html",
        "run.lock",
    ];
    let model = ["config.json", "model.safetensors", "tokenizer.json"];
    for (folder, files) in [("run", &files[..]), ("run/model", &model)] {
        for file in files {
            assert!(place.path(folder).join(file).is_file(), "{folder}/{file}");
        }
    }
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 8);
    assert_eq!(fs::read_dir(place.path("run/model")).unwrap().count(), 3);
    assert_eq!(
        place.read("run/model/tokenizer.json"),
        place.read("base/tokenizer.json")
    );
    let answer = place.call(&[
        "predict",
        "--model",
        "run",
        "--backend",
        "flex",
        "--text",
        "a",
    ]);
    assert_eq!(answer.expect_code(0).objects().len(), 1);
}

#[test]
fn the_recipe_of_a_run_repeats_it() {
    let place = Place::with_reviews();
    let set = [
        "--set",
        "model.dropout=0.1",
        "--set",
        "data.batching=shuffled",
    ];
    place.train(&[&TRAIN[..], &set, &["--epochs", "2", "--seed", "7"]].concat());
    place.train_into("again", &["run/recipe.toml"]);
    let losses = place.losses("run");
    assert_eq!(losses.len(), 6);
    assert_eq!(losses, place.losses("again"));
    let weights = |run| fs::read(place.path(run).join("model/model.safetensors")).unwrap();
    assert_eq!(weights("run"), weights("again"));
    let recipe = place.read("run/recipe.toml");
    assert_eq!(
        recipe.replace("output = \"run\"", ""),
        place
            .read("again/recipe.toml")
            .replace("output = \"again\"", "")
    );
    for line in [
        "task = \"classify\"",
        "max_length = 24",
        "learning_rate = 0.0003",
        "learning_rate_multiplier = 1.0",
        "seed = 7",
        "backend = \"flex\"",
    ] {
        assert!(
            recipe.lines().any(|known| known == line),
            "{line} in {recipe}"
        );
    }
}

#[test]
fn events_hold_a_line_for_each_thing_that_happens() {
    let place = Place::with_reviews();
    place.train(&[&TRAIN[..], &["--epochs", "2"]].concat());
    let events = place.objects("run/events.jsonl");
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    let epoch = ["step", "step", "step", "evaluation", "epoch", "checkpoint"];
    let expected = [&["start", "load"][..], &epoch, &epoch, &["finish"]].concat();
    assert_eq!(names, expected);
    let steps: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "step")
        .collect();
    let numbers: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let rows: u64 = steps
        .iter()
        .map(|step| step["examples"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, 2 * 18, "every row once in each epoch");
}

/// What an event tells, beside its time and name.
const FIELDS: [(&str, &str); 7] = [
    (
        "start",
        "run task model backend steps epochs train_rows valid_rows trainable_parameters parameters \
         state_bytes metric data environment",
    ),
    ("load", "loaded fresh replaced unused"),
    (
        "step",
        "step epoch loss accuracy learning_rate grad_norm tokens examples seconds tokens_per_second \
         memory_bytes",
    ),
    (
        "evaluation",
        "step epoch train_loss valid_loss metrics details is_best seconds tokens_per_second",
    ),
    (
        "epoch",
        "step epoch train_loss valid_loss metrics is_best seconds tokens_per_second",
    ),
    (
        "finish",
        "steps end best_step metric best checkpoint seconds first_step_seconds step_seconds event_seconds \
         tokens_per_second",
    ),
    ("checkpoint", "step path bytes seconds hash_seconds"),
];

#[test]
fn events_have_their_fields() {
    let place = Place::with_reviews();
    place.train(&TRAIN);
    let events = place.objects("run/events.jsonl");
    for event in &events {
        assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
    }
    for (name, fields) in FIELDS {
        let expected = ["time", "event"].into_iter().chain(fields.split(' '));
        let mut found = events.iter().filter(|event| event["event"] == name);
        let event = found.next().unwrap_or_else(|| panic!("no event `{name}`"));
        assert_eq!(keys(event), expected.collect::<Vec<_>>(), "`{name}`");
    }
}

#[test]
fn metrics_hold_a_row_for_each_step() {
    let place = Place::with_reviews();
    place.train(&[&TRAIN[..], &["--epochs", "2"]].concat());
    let table = place.read("run/metrics.csv");
    let mut lines = table.lines();
    assert_eq!(
        lines.next(),
        Some(
            "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,learning_rate,\
             grad_norm,tokens,seconds,valid_accuracy,valid_macro_f1,valid_micro_f1,valid_mcc"
        )
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let losses = place.losses("run");
    assert_eq!(rows.len(), losses.len());
    for (index, (row, loss)) in rows.iter().zip(losses).enumerate() {
        assert_eq!(row[0], (index + 1).to_string());
        let difference = row[1].parse::<f64>().unwrap() - loss;
        assert!(difference.abs() < 1e-12, "{difference}");
        // An evaluation follows the last of the three steps of an epoch.
        let is_evaluated = (index + 1) % 3 == 0;
        for column in [3, 4, 9, 10, 11, 12] {
            assert_eq!(
                !row[column].is_empty(),
                is_evaluated,
                "column {column} of {row:?}"
            );
        }
    }
}

#[test]
fn the_receipt_tells_what_the_run_was_made_of() {
    let place = Place::with_reviews();
    place.train(&[&TRAIN[..], &["--max-steps", "2", "--seed", "5"]].concat());
    let receipt: Value = serde_json::from_str(&place.read("run/receipt.json")).unwrap();
    assert_eq!(
        keys(&receipt),
        [
            "rekindle",
            "burn",
            "backend",
            "device",
            "seed",
            "task",
            "labels",
            "train_rows",
            "valid_rows",
            "data",
            "base",
            "model",
            "finish"
        ]
    );
    assert_eq!(receipt["seed"], 5);
    assert_eq!(receipt["backend"], "flex");
    assert_eq!(receipt["labels"], json!(["bad", "good"]));
    assert_eq!(receipt["train_rows"], 18);
    assert_eq!(receipt["valid_rows"], 2);
    let hashes = [
        &receipt["data"]["train.jsonl"],
        &receipt["base"]["model.safetensors"],
        &receipt["model"]["model.safetensors"],
    ];
    for hash in hashes {
        assert_eq!(hash.as_str().unwrap().len(), 64, "{hash}");
    }
    assert_ne!(hashes[1], hashes[2]);
    assert_eq!(receipt["finish"]["steps"], 2);
}
