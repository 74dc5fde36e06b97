//! Ends that nobody planned: Ctrl-C, and a reader that goes away.

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

#[cfg(unix)]
use crate::place::interrupt;
use crate::place::{Place, spawn, text};

/// More steps than any test waits for.
const LONG: [&str; 12] = [
    "train",
    "--model",
    "base",
    "--data",
    "train.jsonl",
    "--backend",
    "flex",
    "--output",
    "run",
    "--max-steps",
    "10000000",
    "--dashboard=json",
];

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_its_best_weights() {
    let place = Place::with_reviews();
    let mut child = spawn(&place, &LONG);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> {
        let line = lines.next()?.unwrap();
        Some(serde_json::from_str(&line).unwrap())
    };
    while next().unwrap()["event"] != "epoch" {}
    interrupt(&child);
    let mut last = Value::Null;
    while let Some(event) = next() {
        last = event;
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = text(child.stderr.take().unwrap());
    assert!(told.contains("stopping after this step"), "{told}");
    assert_eq!(last["event"], "finish");
    assert_eq!(last["end"], "interrupted");
    let logged = place.event("run", "finish");
    assert_eq!(logged["steps"], last["steps"]);
    assert_eq!(
        place.losses("run").len() as u64,
        last["steps"].as_u64().unwrap()
    );
    let receipt: Value = serde_json::from_str(&place.read("run/receipt.json")).unwrap();
    assert_eq!(receipt["finish"]["end"], json!("interrupted"));
    let arguments = [
        "predict",
        "--model",
        "run",
        "--backend",
        "flex",
        "--text",
        "a film",
    ];
    assert_eq!(place.call(&arguments).expect_code(0).objects().len(), 1);
}

#[test]
fn a_closed_pipe_ends_answers_quietly() {
    let place = Place::with_reviews();
    place.train(&[
        "--model",
        "base",
        "--data",
        "train.jsonl",
        "--max-steps",
        "1",
    ]);
    let always = [
        "predict",
        "--model",
        "run",
        "--backend",
        "flex",
        "--input",
        "-",
    ];
    let mut child = spawn(&place, &always);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // More than the pipes and the buffers between here and there hold.
    let row = format!("{{\"text\": \"{}\"}}\n", "a film ".repeat(100));
    let feed = std::thread::spawn(move || while input.write_all(row.as_bytes()).is_ok() {});
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert!(first.contains("\"label\""), "{first}");
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(text(child.stderr.take().unwrap()), "");
    feed.join().unwrap();
}

#[test]
fn a_run_goes_on_when_nobody_reads() {
    let place = Place::with_reviews();
    let mut arguments = LONG;
    arguments[10] = "20";
    let mut child = spawn(&place, &arguments);
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.losses("run").len(), 20);
    assert!(place.has("run/model/model.safetensors"));
}

#[test]
fn a_listing_ends_quietly_when_nobody_reads() {
    let place = Place::with_reviews();
    let mut child = spawn(&place, &["doctor"]);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // Drivers may have their say there.
    let told = text(child.stderr.take().unwrap());
    assert!(
        !told.contains("panicked") && !told.contains("roken pipe"),
        "{told}"
    );
}
