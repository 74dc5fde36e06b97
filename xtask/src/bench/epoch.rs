//! One epoch of SNIPS intents with all-MiniLM-L6-v2.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::{Bench, Runs, events};
use crate::program::{self, Finished, number};
use crate::snips;

const REPEATS: u16 = 3;
const BATCH_SIZE: &str = "16";
const MAX_LENGTH: &str = "64";
const SEED: &str = "0";

/// One epoch of a program.
#[derive(Serialize)]
pub(super) struct Epoch {
    /// Of training alone.
    pub(super) training_seconds: f64,
    /// Of the whole process, with loading, evaluating and, in ours, saving and checking.
    pub(super) process_seconds: f64,
    /// On the validation rows: proof that both did the same work.
    pub(super) accuracy: f64,
    /// Highest resident memory of the process.
    pub(super) peak_bytes: Option<f64>,
    /// What events, their files and the hashes of checkpoints take, as a part of the time of the steps.
    pub(super) record_share: Option<f64>,
}

pub(super) fn measure(bench: &Bench, model: &Path, data: &Path) -> anyhow::Result<Runs<Epoch>> {
    let train = bench.path("intent.train.jsonl");
    snips::sample(&data.join("intent.train.jsonl"), &train)?;
    let valid = data.join("intent.valid.jsonl");
    let case = Case {
        model,
        train: &train,
        valid: &valid,
    };
    bench.alternate(REPEATS, || ours(bench, &case), || peer(bench, &case))
}

struct Case<'a> {
    model: &'a Path,
    train: &'a Path,
    valid: &'a Path,
}

fn ours(bench: &Bench, case: &Case) -> anyhow::Result<Epoch> {
    let run = tempfile::tempdir_in(bench.folder.path())?;
    let mut command = bench.train();
    program::flags(
        &mut command,
        [
            ("--model", &case.model),
            ("--data", &case.train),
            ("--valid", &case.valid),
            ("--batch-size", &BATCH_SIZE),
            ("--max-length", &MAX_LENGTH),
            ("--seed", &SEED),
            ("--set", &"data.batching=shuffled"),
            ("--output", &run.path()),
        ],
    );
    let Finished {
        seconds,
        peak_bytes,
        ..
    } = program::finish(&mut command)?;
    let steps = events(run.path(), "step")?;
    let training: Vec<f64> = steps
        .iter()
        .map(|step| number(step, "/seconds"))
        .collect::<anyhow::Result<_>>()?;
    let evaluations = events(run.path(), "evaluation")?;
    let evaluation = evaluations.last().context("the run did not evaluate")?;
    Ok(Epoch {
        training_seconds: training.iter().sum(),
        process_seconds: seconds,
        accuracy: number(evaluation, "/metrics/accuracy")?,
        peak_bytes,
        record_share: Some(record_share(run.path())?),
    })
}

fn record_share(run: &Path) -> anyhow::Result<f64> {
    let finish = events(run, "finish")?
        .pop()
        .context("the run did not finish")?;
    let hashes = events(run, "checkpoint")?;
    let hashes = hashes
        .iter()
        .map(|checkpoint| number(checkpoint, "/hash_seconds"));
    let hashes: f64 = hashes.sum::<anyhow::Result<_>>()?;
    let events = number(&finish, "/event_seconds")?;
    Ok((events + hashes) / number(&finish, "/step_seconds")?)
}

fn peer(bench: &Bench, case: &Case) -> anyhow::Result<Epoch> {
    let mut command = program::peer(bench.root, &bench.options.python, "train.py");
    program::flags(
        &mut command,
        [
            ("--task", &"classify"),
            ("--model", &case.model),
            ("--train", &case.train),
            ("--valid", &case.valid),
            ("--epochs", &"1"),
            ("--batch-size", &BATCH_SIZE),
            ("--max-length", &MAX_LENGTH),
            ("--seed", &SEED),
            ("--threads", &bench.threads),
        ],
    );
    let Finished {
        stdout,
        seconds,
        peak_bytes,
    } = program::finish(&mut command)?;
    let result: Value = serde_json::from_str(&stdout)?;
    Ok(Epoch {
        training_seconds: number(&result, "/seconds")?,
        process_seconds: seconds,
        accuracy: number(&result, "/metrics/accuracy")?,
        peak_bytes,
        record_share: None,
    })
}
