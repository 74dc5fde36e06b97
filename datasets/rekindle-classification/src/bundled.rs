//! Short reviews of products and films, written for this project (`data/README.md`).

use rekindle_data::{DataError, Dataset, Format, Source, TaskKind, TextExample};

use crate::row::examples;

/// The rows to learn from, as a JSON Lines file.
pub const TRAIN: &str = include_str!("../data/reviews.train.jsonl");

/// The rows to evaluate on, as a JSON Lines file.
pub const VALID: &str = include_str!("../data/reviews.valid.jsonl");

/// The reviews to learn from, each labeled `positive` or `negative`.
pub fn train() -> Dataset<TextExample> {
    read("reviews.train.jsonl", TRAIN)
}

/// The reviews to evaluate on.
pub fn valid() -> Dataset<TextExample> {
    read("reviews.valid.jsonl", VALID)
}

fn read(name: &str, text: &'static str) -> Dataset<TextExample> {
    parse(name, text).expect("the bundled rows are part of the program and read in its tests")
}

fn parse(name: &str, text: &'static str) -> Result<Dataset<TextExample>, DataError> {
    let mut dataset = examples(
        Source::from_text(name, text, Format::Jsonl)?,
        Some(TaskKind::Classify),
    )?;
    "bundled".clone_into(&mut dataset.format_reason);
    "bundled".clone_into(&mut dataset.inference.reason);
    Ok(dataset)
}
