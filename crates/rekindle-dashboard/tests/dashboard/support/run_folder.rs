//! Run folders as a training run leaves them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

/// Texts that try to leave the place where they stand.
pub(crate) const HOSTILE: [&str; 6] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} ${7*7} <!--",
    "line\u{2028}separator\u{2029}",
    "\u{1b}[2J\u{1b}[31mred",
    "\u{202e}right to left",
];

/// The log of a run of four steps in two epochs, without its end.
pub(crate) fn short_run(name: &str, labels: &[&str]) -> Vec<Value> {
    let start = json!({
        "time": "2026-11-22T10:00:00Z", "event": "start", "run": name, "task": "classify",
        "model": "org/base", "backend": "flex", "steps": 4, "epochs": 2, "train_rows": 64,
        "valid_rows": 16, "trainable_parameters": 10, "parameters": 20, "state_bytes": 4096,
        "metric": "accuracy", "data": labels, "environment": {"version": "0.1.0"},
    });
    let mut lines = vec![start];
    for epoch in 1..=2 {
        lines.extend([step(2 * epoch - 1), step(2 * epoch)]);
        lines.extend(["evaluation", "epoch"].map(|event| scores(event, epoch, labels)));
    }
    lines
}

/// A step of the run.
pub(crate) fn step(step: usize) -> Value {
    json!({
        "time": time(step), "event": "step", "step": step, "epoch": step as f64 / 2.0,
        "loss": 2.0 / step as f64, "learning_rate": 5e-5, "grad_norm": 1.5, "tokens": 100,
        "examples": 16, "seconds": 0.5, "tokens_per_second": 200.0, "memory_bytes": 1_000_000,
    })
}

fn scores(event: &str, epoch: usize, labels: &[&str]) -> Value {
    let size = labels.len();
    let class = json!({"precision": 0.5, "recall": 0.75, "f1": 0.6, "support": 8});
    json!({
        "time": time(2 * epoch), "event": event, "step": 2 * epoch, "epoch": epoch as f64,
        "train_loss": 1.0 / epoch as f64, "valid_loss": 1.25 / epoch as f64, "is_best": true,
        "metrics": {"accuracy": 1.0 - 0.5 / epoch as f64}, "seconds": 1.0, "tokens_per_second": 200.0,
        "details": {"labels": labels, "classes": vec![class; size], "confusion": vec![vec![3; size]; size]},
    })
}

fn time(step: usize) -> String {
    format!("2026-11-22T10:{:02}:{:02}Z", step / 60, step % 60)
}

/// Writes a recipe and appends events, each as a line.
pub(crate) fn append(folder: &Path, events: &[Value]) {
    fs::create_dir_all(folder).unwrap();
    let recipe = format!("[model]\nbase = '{}'\n\n[train]\nseed = 42\n", HOSTILE[0]);
    fs::write(folder.join("recipe.toml"), recipe).unwrap();
    let mut log = OpenOptions::new();
    let path = folder.join("events.jsonl");
    let mut log = log.create(true).append(true).open(path).unwrap();
    for event in events {
        log.write_all(format!("{event}\n").as_bytes()).unwrap();
    }
}
