//! From a record to a tagged sentence.

use std::path::Path;

use rekindle_data::{
    DataError, Dataset, Record, RowError, Source, TaggedExample, TaskKind, value_kind,
};
use serde_json::Value;

use crate::iob;

/// Reads a file of tagged sentences.
pub fn read(path: &Path) -> Result<Dataset<TaggedExample>, DataError> {
    examples(Source::read(path)?)
}

/// All sentences of a file.
fn examples(source: Source) -> Result<Dataset<TaggedExample>, DataError> {
    let inference = source.task(None)?;
    if inference.task != TaskKind::Tag {
        return Err(DataError::OtherTask {
            path: source.path,
            found: inference.task,
        });
    }
    let mut dataset = source.examples(inference, example)?;
    if let Some(note) = iob::convert(&mut dataset.rows) {
        dataset.inference.reason.push_str(note);
    }
    Ok(dataset)
}

/// The sentence in a row, with the tags as they stand there.
pub fn example(record: &Record) -> Result<TaggedExample, RowError> {
    let tokens = words(record)?;
    let tags = texts(record, "tags")?;
    if tokens.len() != tags.len() {
        let message = format!("{} tokens have {} tags", tokens.len(), tags.len());
        return Err(
            RowError::new(record.line, message, "write one tag per token").in_field("tags"),
        );
    }
    Ok(TaggedExample {
        tokens,
        tags,
        line: record.line,
    })
}

/// The words in a row, which needs no tags.
pub fn words(record: &Record) -> Result<Vec<String>, RowError> {
    let words = texts(record, "tokens")?;
    if words.is_empty() {
        let fix = "write at least one token or remove the row";
        return Err(RowError::new(record.line, "is empty", fix).in_field("tokens"));
    }
    Ok(words)
}

/// A list of strings, none of them blank.
fn texts(record: &Record, field: &str) -> Result<Vec<String>, RowError> {
    let error =
        |message: String, fix: &str| RowError::new(record.line, message, fix).in_field(field);
    let list = match record.field(field) {
        Some(Value::Array(list)) => list,
        Some(other) => {
            let message = format!("holds {}", value_kind(other));
            return Err(error(message, "write a list of strings"));
        }
        None => {
            let message = format!("is missing; the row has {}", record.field_names());
            return Err(error(
                message,
                "write the words as `tokens`, their tags as `tags`",
            ));
        }
    };
    let text = |(k, value): (usize, &Value)| match value {
        Value::String(text) if text.trim().is_empty() => Err(error(
            format!("item {} is empty", k + 1),
            "remove it or write it",
        )),
        Value::String(text) => Ok(text.clone()),
        other => {
            let message = format!("item {} is {}", k + 1, value_kind(other));
            Err(error(message, "write a string"))
        }
    };
    list.iter().enumerate().map(text).collect()
}
