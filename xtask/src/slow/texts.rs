//! Proofs with texts that are larger than the memory they may take.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::Slow;
use super::proof::Proof;
use crate::program::{self, Finished};

const MEGABYTE: usize = 1_000_000;

/// Bytes of the large text, and of the one that takes next to nothing.
const LARGE: usize = 1000 * MEGABYTE;
const SMALL: usize = MEGABYTE;

/// Megabytes that the large text may take beyond what model and training take.
const MOST_ABOVE: f64 = 500.0;

/// Bytes of a long stream of rows to answer, some hundred thousand of them, and of some thousand.
const LONG: usize = 20 * MEGABYTE;
const SHORT: usize = MEGABYTE / 4;

/// Megabytes that the long stream may take beyond what the short one takes.
const MOST_OF_A_STREAM: f64 = 50.0;

/// What the texts are made of, over and over: rows with a `text`.
const ROWS: &str = "datasets/rekindle-classification/data/reviews.train.jsonl";

/// Trains the bundled model on a gigabyte of text, and on a megabyte; and answers many rows, and few.
pub(super) fn prove(slow: &Slow) -> anyhow::Result<[Proof; 2]> {
    let above = |peaks: [f64; 2]| (peaks[1] - peaks[0]) / MEGABYTE as f64;
    let training = [
        peak_of_training(slow, SMALL)?,
        peak_of_training(slow, LARGE)?,
    ];
    let run = slow.path("answers");
    let mut command = slow.rekindle("train");
    program::flags(
        &mut command,
        [
            ("--max-steps", &"1"),
            ("--output", &run),
            ("--dashboard", &"none"),
        ],
    );
    program::finish(&mut command)?;
    let answers = [
        peak_of_answers(slow, &run, SHORT)?,
        peak_of_answers(slow, &run, LONG)?,
    ];
    let what = |command, bytes| {
        let megabytes = bytes / MEGABYTE;
        format!("{command}: MB of memory that a text of {megabytes} MB takes")
    };
    Ok([
        Proof::at_most(what("train", LARGE), MOST_ABOVE, above(training)),
        Proof::at_most(what("predict", LONG), MOST_OF_A_STREAM, above(answers)),
    ])
}

/// The highest resident memory while so many bytes of rows are answered.
fn peak_of_answers(slow: &Slow, run: &Path, bytes: usize) -> anyhow::Result<f64> {
    eprintln!(
        "==> answering {:.1} MB of rows",
        bytes as f64 / MEGABYTE as f64
    );
    let rows = slow.path("rows.jsonl");
    repeat(&rows, bytes, slow)?;
    let mut command = slow.rekindle("predict");
    program::flags(
        &mut command,
        [
            ("--model", &run),
            ("--input", &rows),
            ("--output", &slow.path("answers.jsonl")),
        ],
    );
    peak(&mut command)
}

/// The highest resident memory of a short run on such a text, from its first byte to the saved model.
fn peak_of_training(slow: &Slow, bytes: usize) -> anyhow::Result<f64> {
    eprintln!("==> training on a text of {} MB", bytes / MEGABYTE);
    let folder = tempfile::tempdir_in(slow.folder.path())?;
    let text = folder.path().join("text.jsonl");
    repeat(&text, bytes, slow)?;
    let mut command = slow.rekindle("train");
    command.env("REKINDLE_CACHE", folder.path().join("cache"));
    program::flags(
        &mut command,
        [
            ("--model", &"bundled"),
            ("--task", &"mask"),
            ("--data", &text),
            ("--max-steps", &"20"),
            ("--output", &folder.path().join("run")),
            ("--dashboard", &"none"),
        ],
    );
    peak(&mut command)
}

/// The highest resident memory of a program.
fn peak(command: &mut Command) -> anyhow::Result<f64> {
    let Finished { peak_bytes, .. } = program::finish(command)?;
    peak_bytes.context("this system does not tell the memory of a process")
}

/// Writes [`ROWS`] over and over until there are so many bytes.
fn repeat(path: &Path, bytes: usize, slow: &Slow) -> anyhow::Result<()> {
    let rows = fs::read(slow.root.join(ROWS)).context(ROWS)?;
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        for _ in 0..bytes.div_ceil(rows.len()) {
            file.write_all(&rows)?;
        }
        file.flush()
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
