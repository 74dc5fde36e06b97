//! The jargon of an invented company, written for this project (`data/README.md`).

use rekindle_data::{DataError, Dataset, Format, GenerationExample, Source, TaskKind};

use crate::row::examples;

/// The rows, as a JSON Lines file.
pub const GLOSSARY: &str = include_str!("../data/glossary.jsonl");

/// What the words of the company mean, as prompts with completions.
pub fn glossary() -> Dataset<GenerationExample> {
    read()
}

fn read() -> Dataset<GenerationExample> {
    parse().expect("the bundled rows are part of the program and read in its tests")
}

fn parse() -> Result<Dataset<GenerationExample>, DataError> {
    let source = Source::from_text("glossary.jsonl", GLOSSARY, Format::Jsonl)?;
    let mut dataset = examples(source, Some(TaskKind::Generate))?;
    "bundled".clone_into(&mut dataset.format_reason);
    "bundled".clone_into(&mut dataset.inference.reason);
    Ok(dataset)
}
