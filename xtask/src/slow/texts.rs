//! Proof with a text that is larger than the memory it may take.

use std::fs::File;
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

const WORDS: [&str; 12] = [
    "the",
    "film",
    "a",
    "room",
    "quietly",
    "of",
    "it",
    "was",
    "slow",
    "and",
    "wonderful",
    "東京",
];

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

/// The highest resident memory of a short run on a generated text, from its first byte to the saved model.
fn peak_of_training(slow: &Slow, bytes: usize) -> anyhow::Result<f64> {
    eprintln!("==> training on a text of {} MB", bytes / MEGABYTE);
    let folder = tempfile::tempdir_in(slow.folder.path())?;
    let text = folder.path().join("text.txt");
    generate(&text, bytes).with_context(|| format!("cannot write `{}`", text.display()))?;
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

/// Writes lines of words, the same ones each time.
fn generate(path: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut written, mut state) = (0, 1_u64);
    while written < bytes {
        // The constants of Knuth's MMIX; its high bits are the random ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS[(state >> 33) as usize % WORDS.len()];
        let end = if (state >> 40) % 16 == 0 { "\n" } else { " " };
        file.write_all(word.as_bytes())?;
        file.write_all(end.as_bytes())?;
        written += word.len() + end.len();
    }
    file.flush()
}
