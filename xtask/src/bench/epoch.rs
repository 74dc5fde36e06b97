//! SNIPS intents with all-MiniLM-L6-v2: all weights, adapters, or the head alone.

use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Bench, Runs, events};
use crate::program::{self, Finished, number};
use crate::snips;

const REPEATS: u16 = 3;
const BATCH_SIZE: &str = "16";
pub(super) const MAX_LENGTH: &str = "64";
const SEED: &str = "0";

/// What is trained, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    method: &'static str,
    learning_rate: &'static str,
    epochs: &'static str,
}

const VARIANTS: [Variant; 3] = [
    Variant {
        name: "SNIPS, full",
        method: "full",
        learning_rate: "5e-5",
        epochs: "1",
    },
    Variant {
        name: "SNIPS, LoRA",
        method: "lora",
        learning_rate: "1e-3",
        epochs: "1",
    },
    Variant {
        name: "SNIPS, head, 5 epochs",
        method: "head",
        learning_rate: "1e-3",
        epochs: "5",
    },
];

/// One run of a program.
#[derive(Serialize)]
pub(super) struct Epoch {
    /// Of training alone.
    pub(super) training_seconds: f64,
    /// Of the whole process, with loading, evaluating and, in ours, saving and checking.
    pub(super) process_seconds: f64,
    /// From the start of the process to the end of its first step.
    pub(super) first_step_seconds: f64,
    /// On the validation rows: proof that both did the same work.
    pub(super) accuracy: f64,
    /// Highest resident memory of the process.
    pub(super) peak_bytes: Option<f64>,
    /// What events, their files and the hashes of checkpoints take, as a part of the time of the steps.
    pub(super) record_share: Option<f64>,
}

/// Measures each variant.
pub(super) fn measure(
    bench: &Bench,
    model: &Path,
    data: &Path,
) -> anyhow::Result<Vec<(Variant, Runs<Epoch>)>> {
    let train = bench.path("intent.train.jsonl");
    snips::sample(&data.join("intent.train.jsonl"), &train)?;
    let valid = data.join("intent.valid.jsonl");
    let case = Case {
        model,
        train: &train,
        valid: &valid,
    };
    VARIANTS
        .into_iter()
        .map(|variant| {
            let ours = || ours(bench, &case, variant);
            let runs = bench.alternate(REPEATS, ours, || peer(bench, &case, variant))?;
            Ok((variant, runs))
        })
        .collect()
}

struct Case<'a> {
    model: &'a Path,
    train: &'a Path,
    valid: &'a Path,
}

fn ours(bench: &Bench, case: &Case, variant: Variant) -> anyhow::Result<Epoch> {
    let run = tempfile::tempdir_in(bench.folder.path())?;
    let mut command = bench.train(variant.epochs);
    program::flags(
        &mut command,
        [
            ("--model", &case.model),
            ("--data", &case.train),
            ("--valid", &case.valid),
            ("--method", &variant.method),
            ("--learning-rate", &variant.learning_rate),
            ("--batch-size", &BATCH_SIZE),
            ("--max-length", &MAX_LENGTH),
            ("--seed", &SEED),
            ("--output", &run.path()),
        ],
    );
    let finished = program::finish(&mut command)?;
    let steps = events(run.path(), "step")?;
    let training: Vec<f64> = steps
        .iter()
        .map(|step| number(step, "/seconds"))
        .collect::<anyhow::Result<_>>()?;
    let first: Timestamp = steps
        .first()
        .and_then(|step| step["time"].as_str())
        .context("the run took no step")?
        .parse()?;
    let evaluations = events(run.path(), "evaluation")?;
    let evaluation = evaluations.last().context("the run did not evaluate")?;
    Ok(Epoch {
        training_seconds: training.iter().sum(),
        process_seconds: finished.seconds,
        first_step_seconds: first.duration_since(finished.begun).as_secs_f64(),
        accuracy: number(evaluation, "/metrics/accuracy")?,
        peak_bytes: finished.peak_bytes,
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

fn peer(bench: &Bench, case: &Case, variant: Variant) -> anyhow::Result<Epoch> {
    let mut command = program::peer(bench.root, &bench.options.python, "train.py");
    program::flags(
        &mut command,
        [
            ("--task", &"classify"),
            ("--model", &case.model),
            ("--train", &case.train),
            ("--valid", &case.valid),
            ("--method", &variant.method),
            ("--learning-rate", &variant.learning_rate),
            ("--epochs", &variant.epochs),
            ("--batch-size", &BATCH_SIZE),
            ("--max-length", &MAX_LENGTH),
            ("--seed", &SEED),
            ("--threads", &bench.threads),
        ],
    );
    let Finished {
        stdout,
        begun,
        seconds,
        peak_bytes,
    } = program::finish(command.arg("--group-by-length"))?;
    let result: Value = serde_json::from_str(&stdout)?;
    let begun = begun.as_duration().as_secs_f64();
    Ok(Epoch {
        training_seconds: number(&result, "/seconds")?,
        process_seconds: seconds,
        first_step_seconds: number(&result, "/first_step_at")? - begun,
        accuracy: number(&result, "/metrics/accuracy")?,
        peak_bytes,
        record_share: None,
    })
}
