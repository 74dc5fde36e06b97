//! Raw text: hidden words, a teacher's vectors, and what a model forgets.

use insta::assert_snapshot;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::place::{Place, reviews};

/// A model and lines of text without labels.
fn place() -> Place {
    let place = Place::with_reviews();
    let lines: Vec<String> = reviews(60, &["bad", "good"])
        .iter()
        .map(|row| row["text"].as_str().unwrap().to_owned())
        .collect();
    place.write("texts.txt", &lines.join("\n"));
    place
}

/// Few steps at a high rate, in blocks of few tokens.
const FAST: [&str; 8] = [
    "--model",
    "base",
    "--max-length",
    "16",
    "--learning-rate",
    "3e-3",
    "--epochs",
    "2",
];

const MASK: [&str; 4] = ["--task", "mask", "--data", "texts.txt"];

const DISTILL: [&str; 6] = [
    "--task",
    "distill",
    "--data",
    "texts.txt",
    "--set",
    "distill.teacher=teacher",
];

fn tensors(place: &Place, folder: &str) -> Vec<String> {
    let bytes = std::fs::read(place.path(&format!("{folder}/model.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.names().into_iter().map(str::to_owned).collect()
}

fn config(place: &Place, folder: &str) -> Value {
    serde_json::from_str(&place.read(&format!("{folder}/config.json"))).unwrap()
}

#[test]
fn hidden_words_are_learned_from_raw_text_and_the_body_serves_a_classifier() {
    let place = place();
    let told = place.train(&[&FAST[..], &MASK].concat()).err;
    assert!(told.contains("texts.txt: 60 lines as documents"), "{told}");
    let losses = place.losses("run");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let half = losses.len() / 2;
    assert!(mean(&losses[half..]) < mean(&losses[..half]), "{losses:?}");
    assert_eq!(
        config(&place, "run/model")["architectures"][0],
        "BertForMaskedLM"
    );
    let names = tensors(&place, "run/model");
    assert!(names.iter().any(|name| name == "cls.predictions.bias"));
    let rows = ["--model", "run", "--data", "train.jsonl", "--epochs", "1"];
    place.train_into("classifier", &rows);
    // The tokens of the texts are kept.
    let told = place.train_into("again", &[&FAST[..], &MASK].concat()).err;
    assert!(told.contains("(cached)"), "{told}");
    assert_eq!(place.losses("again"), losses);
}

#[test]
fn raw_text_is_scored_as_it_is_validated() {
    let place = place();
    let lines = ["a good film", "the bad room was quiet", "good and bad"].join("\n");
    place.write("valid.txt", &lines);
    place.train(&[&FAST[..], &MASK, &["--valid", "valid.txt"]].concat());
    let best = place.event("run", "finish")["best_step"].clone();
    let events = place.objects("run/events.jsonl").into_iter();
    let mut evaluations = events.filter(|event| event["event"] == "evaluation");
    let evaluation = evaluations.find(|event| event["step"] == best).unwrap();
    let expected = evaluation["valid_loss"].as_f64().unwrap();
    let flags = ["--data", "valid.txt", "--max-length", "16", "--json"];
    let told = place
        .call(&[&["eval", "--model", "run"][..], &flags].concat())
        .expect_code(0);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let found = told["loss"].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn a_run_whose_general_text_is_another_does_not_go_on() {
    let place = place();
    place.train_into("words", &[&FAST[..], &MASK].concat());
    place.write("general.txt", "a good film\nthe bad room");
    let rows = ["--model", "words", "--data", "train.jsonl", "--epochs", "2"];
    let general = ["--set", "data.general=general.txt"];
    place.train(&[&rows[..], &general].concat());
    // As if it had been killed at its very end.
    std::fs::remove_file(place.path("run/receipt.json")).unwrap();
    place.write("general.txt", "another room");
    let refused = place.call(&["train", "run", "--resume"]).expect_code(2);
    assert!(refused.err.contains("general.txt"), "{}", refused.err);
}

#[test]
fn a_student_comes_nearer_to_its_teacher_and_leaves_its_projection_behind() {
    let place = place();
    place.model("minilm-headless", "teacher");
    place.train(&[&FAST[..], &DISTILL].concat());
    let events = place.objects("run/events.jsonl");
    let cosines: Vec<f64> = events
        .iter()
        .filter(|event| event["event"] == "evaluation")
        .map(|event| event["metrics"]["cosine"].as_f64().unwrap())
        .collect();
    assert!(cosines.last() > cosines.first(), "{cosines:?}");
    let names = tensors(&place, "run/model");
    assert!(
        names.iter().all(|name| name.starts_with("bert.")),
        "{names:?}"
    );
    assert_eq!(config(&place, "run/model")["architectures"][0], "BertModel");
    // Its vectors are kept, and the student goes on as a base.
    let vectors = std::fs::read_dir(place.path("cache/vectors")).unwrap();
    assert_eq!(
        vectors
            .filter(|file| {
                let path = file.as_ref().unwrap().path();
                path.extension().unwrap() == "f16"
            })
            .count(),
        1
    );
    let losses = place.losses("run");
    place.train_into("again", &[&FAST[..], &DISTILL].concat());
    assert_eq!(place.losses("again"), losses);
    place.train_into("classifier", &["--model", "run", "--data", "train.jsonl"]);
}

#[test]
fn a_student_learns_the_words_of_a_block_while_some_are_hidden() {
    let place = place();
    place.model("minilm-headless", "teacher");
    let words = ["--set", "distill.layer=1", "--set", "mask.probability=0.2"];
    let all = [&FAST[..], &DISTILL, &words].concat();
    // The best weights need not be the last ones.
    let often = [
        "--set",
        "train.evaluate_every=1",
        "--set",
        "train.epochs=20",
    ];
    let told = place.train(&[&all[..], &often].concat()).err;
    assert!(
        told.contains("vectors of 16 numbers for the text and its"),
        "{told}"
    );
    for name in ["cosine", "word_cosine"] {
        let events = place.objects("run/events.jsonl");
        let evaluations = events.iter().filter(|event| event["event"] == "evaluation");
        let cosines = evaluations.map(|event| event["metrics"][name].as_f64().unwrap());
        let cosines: Vec<f64> = cosines.collect();
        assert!(cosines.last() > cosines.first(), "{name}: {cosines:?}");
    }
    // Other words are hidden in each epoch, and none from what judges.
    place.train_into("shown", &all[..all.len() - 2]);
    assert_ne!(place.losses("shown"), place.losses("run"));
    place.train_into("classifier", &["--model", "run", "--data", "train.jsonl"]);
}

#[test]
fn a_distillation_goes_on_where_it_was_stopped() {
    let place = place();
    place.model("minilm-headless", "teacher");
    let whole = [&FAST[..], &DISTILL, &["--set", "checkpoint.save_every=2"]].concat();
    place.train_into("whole", &whole);
    place.train(&whole);
    // As if the process had been killed after the second checkpoint.
    for entry in std::fs::read_dir(place.path("run/checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("step-000004") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    place.call(&["train", "run", "--resume"]).expect_code(0);
    assert_eq!(place.losses("run"), place.losses("whole"));
}

#[test]
fn what_a_model_forgets_is_measured_before_and_at_each_evaluation() {
    let place = place();
    place.train_into("words", &[&FAST[..], &MASK].concat());
    let rows = ["--model", "words", "--data", "train.jsonl", "--epochs", "2"];
    let general = ["--set", "data.general=texts.txt", "--learning-rate", "3e-3"];
    for method in ["full", "lora", "head"] {
        let run = format!("run-{method}");
        let arguments = [&rows[..], &general, &["--method", method]].concat();
        let told = place.train_into(&run, &arguments).err;
        assert!(told.contains("general loss "), "{told}");
        let finish = place.event(&run, "finish");
        let [before, after] = [0, 1].map(|part| finish["general"][part].as_f64().unwrap());
        if method == "head" {
            // The head for words is the base's, and the body is not trained.
            assert!((before - after).abs() < 1e-6, "{method}: {before} {after}");
        } else {
            assert!((before - after).abs() > 1e-6, "{method}: {before} {after}");
        }
        let events = place.objects(&format!("{run}/events.jsonl"));
        let is_measured = |event: &Value| event["metrics"]["general_loss"].is_f64();
        let evaluations = events.iter().filter(|event| event["event"] == "evaluation");
        assert!(evaluations.clone().count() == 2 && evaluations.clone().all(is_measured));
    }
}

#[test]
fn which_words_are_hidden_matters_only_where_some_are() {
    let place = place();
    place.model("minilm-headless", "teacher");
    let idle = ["--set", "distill.layer=1", "--set", "mask.whole_word=true"];
    let arguments = [&["--model", "base"], &DISTILL[..], &idle].concat();
    assert_snapshot!(place.refused_training(&arguments), @"
    error: `mask.whole_word` is for the task `mask`, and this run's is `distill`
    hint: remove `mask.whole_word`
    ");
}

#[test]
fn what_raw_text_cannot_serve_is_refused() {
    let place = place();
    place.model("minilm-headless", "teacher");
    let model = ["--model", "base"];
    let refused = |arguments: &[&str]| place.refused_training(&[&model[..], arguments].concat());
    assert_snapshot!(refused(&["--task", "mask"]), @"
    error: no texts to learn from
    hint: give files, folders or patterns with `--data`
    ");
    assert_snapshot!(refused(&["--task", "distill", "--data", "texts.txt"]), @"
    error: task `distill` needs a teacher
    hint: `--set distill.teacher=sentence-transformers/all-MiniLM-L6-v2`, or a folder
    ");
    assert_snapshot!(refused(&[&DISTILL[..], &["--method", "lora"]].concat()), @"
    error: task `distill` trains a model of its own, not an adapter
    hint: take another `--method`
    ");
    assert_snapshot!(refused(&["--data", "texts.txt"]), @"
    error: this model scores text, it cannot do the task `generate`
    hint: take a decoder, such as Llama, Qwen or GPT-2, for data without labels; or `--task mask`, so that this one learns the words of a text
    ");
    assert_snapshot!(refused(&["--data", "train.jsonl", "--set", "distill.teacher=teacher"]), @"
    error: `distill.teacher` is for task `distill` alone
    hint: add `--task distill`, or leave the key out
    ");
    assert_snapshot!(refused(&[&DISTILL[..], &["--set", "distill.layer=9"]].concat()), @"
    error: `distill.layer` is 9, and the teacher has blocks 1 to 2
    hint: take one of them; one in the middle often knows most
    ");
    assert_snapshot!(refused(&[&MASK[..], &["--set", "distill.layer=1"]].concat()), @"
    error: `distill.layer` is for the task `distill`, and this run's is `mask`
    hint: remove `distill.layer`
    ");
    assert_snapshot!(refused(&[&DISTILL[..], &["--set", "mask.probability=0.2"]].concat()), @"
    error: `mask.probability` is for the task `mask`, and this run's is `distill`
    hint: remove `mask.probability`
    ");
    assert_snapshot!(refused(&["--data", "train.jsonl", "--set", "data.documents=line"]), @"
    error: `data.documents` is for raw text alone
    hint: `.txt` files and rows with a `text` alone are raw text; leave the key out
    ");
    assert_snapshot!(refused(&["--data", "train.jsonl", "--set", "data.general=texts.txt"]), @"
    error: the base `base` has no head for words, so `data.general` cannot be measured
    hint: take a base that is a language model, or leave the key out
    ");
    assert_snapshot!(refused(&["--task", "mask", "--data", "nothing/*.txt"]), @"
    error: no text is found at `nothing/*.txt`
    hint: check the path; it may be a file, a folder, or a pattern such as `texts/*.txt`
    ");
    assert_snapshot!(refused(&[&MASK[..], &["--set", "data.truncation=left"]].concat()), @"
    error: `data.truncation` has no meaning for raw text: all of it is learned from
    hint: remove `data.truncation`
    ");
    place.write(
        "rows.jsonl",
        "{\"text\": \"a film\"}\n{\"texts\": \"a book\"}\n",
    );
    assert_snapshot!(refused(&["--task", "mask", "--data", "rows.jsonl"]), @"
    error: 1 of 2 rows in `rows.jsonl` cannot be used
    rows.jsonl:2: field `text`: is missing; the row has `texts` (add the text or remove the row)
    ");
}
