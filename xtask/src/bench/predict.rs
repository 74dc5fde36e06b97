//! Answers to texts of many lengths, by a model of `MiniLM`'s size.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::epoch::MAX_LENGTH;
use super::{Bench, Runs};
use crate::program::{self, Finished, number};

const REPEATS: u16 = 3;
const TEXTS: usize = 5000;
const BATCH_SIZE: &str = "32";

/// Sentences of SNIPS that the longest texts are made of.
const MOST_SENTENCES: usize = 5;

/// One run of a program.
#[derive(Serialize)]
pub(super) struct Answers {
    /// Of the whole process.
    pub(super) process_seconds: f64,
    /// Without what happens before the first text; ours does not tell it apart.
    pub(super) answering_seconds: f64,
    /// Highest resident memory of the process.
    pub(super) peak_bytes: Option<f64>,
}

/// Teaches the model SNIPS for a few steps, and lets both programs answer with it.
pub(super) fn measure(bench: &Bench, model: &Path, data: &Path) -> anyhow::Result<Runs<Answers>> {
    let train = data.join("intent.train.jsonl");
    let run = bench.path("answering");
    let mut command = bench.train("1");
    program::flags(
        &mut command,
        [
            ("--model", &model),
            ("--data", &train),
            ("--max-length", &MAX_LENGTH),
            ("--set", &"train.max_steps=20"),
            ("--set", &"data.valid_fraction=0"),
            ("--output", &run),
        ],
    );
    program::finish(&mut command)?;
    let texts = bench.path("texts.jsonl");
    fs::write(&texts, self::texts(&train)?)?;
    let model = run.join("model");
    bench.alternate(
        REPEATS,
        || ours(bench, &model, &texts),
        || peer(bench, &model, &texts),
    )
}

/// Rows of one to [`MOST_SENTENCES`] sentences, in turns.
fn texts(train: &Path) -> anyhow::Result<String> {
    let rows = program::read_lines(train)?;
    let sentences: Vec<&str> = rows.iter().filter_map(|row| row["text"].as_str()).collect();
    ensure!(!sentences.is_empty(), "`{}` has no `text`", train.display());
    let mut sentences = sentences.into_iter().cycle();
    let mut lines = String::new();
    for index in 0..TEXTS {
        let count = 1 + index * 7 % MOST_SENTENCES;
        let text: Vec<&str> = sentences.by_ref().take(count).collect();
        lines += &json!({"text": text.join(". ")}).to_string();
        lines.push('\n');
    }
    Ok(lines)
}

fn ours(bench: &Bench, model: &Path, texts: &Path) -> anyhow::Result<Answers> {
    let answers = bench.path("answers.jsonl");
    let mut command = Command::new(&bench.rekindle);
    program::flags(
        command.arg("predict"),
        [
            ("--backend", &"flex"),
            ("--model", &model),
            ("--input", &texts),
            ("--output", &answers),
        ],
    );
    let finished = program::finish(&mut command)?;
    let found = program::read_lines(&answers)?.len();
    ensure!(found == TEXTS, "{found} answers to {TEXTS} texts");
    Ok(Answers {
        process_seconds: finished.seconds,
        answering_seconds: finished.seconds,
        peak_bytes: finished.peak_bytes,
    })
}

fn peer(bench: &Bench, model: &Path, texts: &Path) -> anyhow::Result<Answers> {
    let mut command = program::peer(bench.root, &bench.options.python, "predict.py");
    program::flags(
        &mut command,
        [
            ("--model", &model),
            ("--input", &texts),
            ("--batch-size", &BATCH_SIZE),
            ("--threads", &bench.threads),
        ],
    );
    let Finished {
        stdout,
        seconds,
        peak_bytes,
        ..
    } = program::finish(&mut command)?;
    let result: Value = serde_json::from_str(&stdout).context("what `predict.py` printed")?;
    Ok(Answers {
        process_seconds: seconds,
        answering_seconds: number(&result, "/seconds")?,
        peak_bytes,
    })
}
