//! The model that the program brings with it.

use serde_json::Value;

use crate::place::Place;

/// What the default run must reach; it reaches 0.7969.
const LEAST_ACCURACY: f64 = 0.75;

#[test]
fn the_default_run_needs_nothing_and_learns_to_tell_reviews_apart() {
    let place = Place::new();
    let called = place.call(&["train", "--output", "run"]).expect_code(0);
    let finish = place.event("run", "finish");
    assert_eq!(finish["metric"], "accuracy");
    let accuracy = finish["best"].as_f64().unwrap();
    assert!(accuracy >= LEAST_ACCURACY, "{accuracy}\n{}", called.err);
    let lines: Vec<&str> = called.out.lines().collect();
    let [best, rest @ ..] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    let beginning = format!("best accuracy {accuracy:.4}, after epoch ");
    assert!(best.starts_with(&beginning), "{best}");
    assert_eq!(
        rest,
        [
            "model saved in run/model",
            "report: run/report.html",
            "try it: rekindle predict --model run --text \"I love it.\"",
            "your own: rekindle train --model google-bert/bert-base-uncased --data FILE",
        ]
    );
    let texts = ["--text", "I love it.", "--text", "It broke after a day."];
    let answered = place.call(&[&["predict", "--model", "run"][..], &texts].concat());
    let labels: Vec<Value> = answered
        .expect_code(0)
        .objects()
        .into_iter()
        .map(|mut row| row["label"].take())
        .collect();
    assert_eq!(labels, ["positive", "negative"]);
}

#[test]
fn an_adapter_on_the_bundled_model_finds_its_base_again() {
    let place = Place::new();
    let arguments = ["train", "--method", "lora", "--max-steps", "2"];
    place
        .call(&[&arguments[..], &["--output", "run"]].concat())
        .expect_code(0);
    let config: Value = serde_json::from_str(&place.read("run/model/adapter_config.json")).unwrap();
    let base = config["base_model_name_or_path"].as_str().unwrap();
    let cache = place.path("cache/bundled");
    assert!(base.starts_with(cache.to_str().unwrap()), "{base}");
    let answer = ["predict", "--model", "run", "--text", "Fine."];
    place.call(&answer).expect_code(0);
    let merged = ["--to", "merged", "--output", "merged"];
    place
        .call(&[&["export", "--model", "run"][..], &merged].concat())
        .expect_code(0);
    // Without the cache the base is named, and a command that needs it says where it looked.
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    let refused = place.call(&answer).expect_code(2);
    assert!(refused.err.contains(base), "{}", refused.err);
}

#[test]
fn the_bundled_model_can_be_asked_for_what_it_was_trained_for() {
    let place = Place::new();
    place.write("texts.txt", "The room was quiet.\nThe soup was cold.\n");
    let arguments = [
        "eval",
        "--model",
        "bundled",
        "--data",
        "texts.txt",
        "--json",
    ];
    let called = place.call(&arguments).expect_code(0);
    let told: Value = serde_json::from_str(&called.out).unwrap();
    assert!(told["metrics"]["perplexity"].is_f64(), "{told}");
}

#[test]
fn threads_change_rounding_alone_and_as_many_change_nothing() {
    let place = Place::new();
    let train = |run: &str, threads: &str| {
        let arguments = ["train", "--backend", "flex", "--max-steps", "6"];
        let mut program = place.program();
        program.env("RAYON_NUM_THREADS", threads);
        program.args(arguments).args(["--output", run]);
        program.assert().success();
        place.losses(run)
    };
    let [one, three, again] =
        [("one", "1"), ("three", "3"), ("again", "3")].map(|(run, threads)| train(run, threads));
    assert_eq!(three, again);
    for (one, three) in one.iter().zip(&three) {
        assert!((one - three).abs() < 1e-5 * one, "{one} {three}");
    }
    let weights = |run: &str| std::fs::read(place.path(&format!("{run}/model/model.safetensors")));
    assert!(weights("three").unwrap() == weights("again").unwrap());
}
