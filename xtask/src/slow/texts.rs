//! Proof with a text that is larger than the memory it may take.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

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

/// What the texts are made of, over and over: rows with a `text`.
const ROWS: &str = "datasets/rekindle-classification/data/reviews.train.jsonl";

/// Trains the bundled model on a gigabyte of text, and on a megabyte.
pub(super) fn prove(slow: &Slow) -> anyhow::Result<Proof> {
    let small = peak_of_training(slow, SMALL)?;
    let large = peak_of_training(slow, LARGE)?;
    Ok(Proof::at_most(
        format!(
            "texts: MB of memory that a text of {} MB takes",
            LARGE / MEGABYTE
        ),
        MOST_ABOVE,
        (large - small) / MEGABYTE as f64,
    ))
}

/// The highest resident memory of a short run on such a text, from its first byte to the saved model.
fn peak_of_training(slow: &Slow, bytes: usize) -> anyhow::Result<f64> {
    eprintln!("==> training on a text of {} MB", bytes / MEGABYTE);
    let folder = tempfile::tempdir_in(slow.folder.path())?;
    let text = folder.path().join("text.jsonl");
    let rows = fs::read(slow.root.join(ROWS)).context(ROWS)?;
    repeat(&rows, &text, bytes).with_context(|| format!("cannot write `{}`", text.display()))?;
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
    let Finished { peak_bytes, .. } = program::finish(&mut command)?;
    peak_bytes.context("this system does not tell the memory of a process")
}

/// Writes rows over and over until there are so many bytes.
fn repeat(rows: &[u8], path: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for _ in 0..bytes.div_ceil(rows.len()) {
        file.write_all(rows)?;
    }
    file.flush()
}
