//! Training steps of a model of `MiniLM`'s shape.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use serde::Serialize;

use super::{Bench, Runs, checkpoint, events};
use crate::program::{self, Finished, number};

pub(super) const BATCH_SIZE: usize = 16;
pub(super) const TOKENS: usize = 128;

/// Steps that allocate memory or compile, left out of the median; the peer does likewise.
pub(super) const WARM_UP_STEPS: usize = 2;

const REPEATS: u16 = 5;

/// Steps of one run of a program.
#[derive(Serialize)]
pub(super) struct Steps {
    /// Of the steps after the warm-up.
    pub(super) median_seconds: f64,
    pub(super) first_seconds: f64,
    /// Highest resident memory of the process.
    pub(super) peak_bytes: Option<f64>,
    /// Versions that the peer tells.
    pub(super) versions: Option<String>,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Runs<Steps>> {
    let model = bench.path("minilm");
    fs::create_dir(&model)?;
    checkpoint::write(&model)?;
    let rows = BATCH_SIZE * (WARM_UP_STEPS + usize::from(bench.options.steps));
    checkpoint::write_rows(&bench.path("rows.jsonl"), rows, TOKENS)?;
    bench.alternate(REPEATS, || ours(bench), || peer(bench))
}

/// One epoch over the made rows through the binary: forward, backward, clipping and `AdamW`.
fn ours(bench: &Bench) -> anyhow::Result<Steps> {
    let run = tempfile::tempdir_in(bench.folder.path())?;
    let mut command = bench.train("1");
    program::flags(
        &mut command,
        [
            ("--model", &bench.path("minilm")),
            ("--data", &bench.path("rows.jsonl")),
            ("--batch-size", &BATCH_SIZE.to_string()),
            ("--max-length", &TOKENS.to_string()),
            ("--set", &"data.valid_fraction=0"),
            ("--output", &run.path()),
        ],
    );
    let finished = program::finish(&mut command)?;
    steps_of(bench, run.path(), finished, BATCH_SIZE * TOKENS)
}

/// The steps that a run recorded, each of so many tokens.
pub(super) fn steps_of(
    bench: &Bench,
    run: &Path,
    finished: Finished,
    expected: usize,
) -> anyhow::Result<Steps> {
    let steps = events(run, "step")?;
    let seconds = steps.iter().map(|step| {
        let tokens = number(step, "/tokens")?;
        ensure!(
            tokens == expected as f64,
            "a step of {tokens} tokens, not {expected}"
        );
        number(step, "/seconds")
    });
    let seconds: Vec<f64> = seconds.collect::<anyhow::Result<_>>()?;
    ensure!(
        seconds.len() == WARM_UP_STEPS + usize::from(bench.options.steps),
        "{} steps were taken",
        seconds.len()
    );
    Ok(Steps {
        median_seconds: median(&seconds[WARM_UP_STEPS..]),
        first_seconds: seconds[0],
        peak_bytes: finished.peak_bytes,
        versions: None,
    })
}

fn peer(bench: &Bench) -> anyhow::Result<Steps> {
    let mut command = program::peer(bench.root, &bench.options.python, "step.py");
    program::flags(
        &mut command,
        [
            ("--batch-size", &BATCH_SIZE.to_string()),
            ("--tokens", &TOKENS.to_string()),
            ("--repeats", &bench.options.steps.to_string()),
            ("--threads", &bench.threads),
        ],
    );
    peer_steps(&mut command)
}

/// The steps that a script of `benches/peers` prints.
pub(super) fn peer_steps(command: &mut Command) -> anyhow::Result<Steps> {
    let Finished {
        stdout, peak_bytes, ..
    } = program::finish(command)?;
    let result: serde_json::Value = serde_json::from_str(&stdout)?;
    let versions = ["torch", "transformers"].map(|name| {
        let version = result["versions"][name]
            .as_str()
            .unwrap_or("of unknown version");
        format!("{name} {version}")
    });
    Ok(Steps {
        median_seconds: number(&result, "/median_seconds")?,
        first_seconds: number(&result, "/first_seconds")?,
        peak_bytes,
        versions: Some(versions.join(", ")),
    })
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_order_and_outliers() {
        assert_eq!(median(&[3.0, 100.0, 1.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median(&[5.0]), 5.0);
    }
}
