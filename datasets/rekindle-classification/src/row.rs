//! From a record to a labeled text.

use std::path::Path;

use rekindle_data::{
    DataError, Dataset, Record, RowError, Source, Target, TaskKind, TextExample, TextInput,
    value_kind,
};
use serde_json::Value;

/// Reads a file of labeled texts; without a task, the rows tell it.
pub fn read(path: &Path, task: Option<TaskKind>) -> Result<Dataset<TextExample>, DataError> {
    examples(Source::read(path)?, task)
}

/// All examples of a file.
pub(crate) fn examples(
    source: Source,
    task: Option<TaskKind>,
) -> Result<Dataset<TextExample>, DataError> {
    let mut inference = source.task(task)?;
    if matches!(
        inference.task,
        TaskKind::Tag | TaskKind::Generate | TaskKind::Mask | TaskKind::Distill
    ) {
        return Err(DataError::OtherTask {
            path: source.path,
            found: inference.task,
        });
    }
    let number_field = source.records.iter().find_map(number_field);
    if task == Some(TaskKind::Regress)
        && let Some(field) = number_field
    {
        inference.reason = format!("given; the target is `{field}`");
    }
    let task = inference.task;
    source.examples(inference, |record| {
        let example = example(record, task)?;
        match number_field.filter(|_| task == TaskKind::Regress) {
            Some(field) if record.number(field).is_none() => Err(other_field(record, field)),
            _ => Ok(example),
        }
    })
}

/// The example in a row.
pub fn example(record: &Record, task: TaskKind) -> Result<TextExample, RowError> {
    let target = match task {
        TaskKind::Classify => Target::Class(class(record, label(record)?)?),
        TaskKind::MultiLabel => Target::Classes(classes(record)?),
        TaskKind::Regress => Target::Number(number(record)?),
        TaskKind::Tag | TaskKind::Generate | TaskKind::Mask | TaskKind::Distill => {
            return Err(no_text(record));
        }
    };
    Ok(TextExample {
        input: input(record)?,
        target,
        line: record.line,
    })
}

/// The text or pair of texts in a row, which needs no label.
pub fn input(record: &Record) -> Result<TextInput, RowError> {
    let text = text(record, "text")?.ok_or_else(|| no_text(record))?;
    Ok(match self::text(record, "text_pair")? {
        Some(other) => TextInput::Pair(text, other),
        None => TextInput::Single(text),
    })
}

fn text(record: &Record, field: &str) -> Result<Option<String>, RowError> {
    match record.field(field) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => {
            let message = "holds no text, only white space or nothing";
            Err(
                RowError::new(record.line, message, "write a text or remove the row")
                    .in_field(field),
            )
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_kind(record, field, other, "a string")),
    }
}

fn no_text(record: &Record) -> RowError {
    let message = match record.field_names() {
        names if names.is_empty() => "is missing; the row has no field".to_owned(),
        names => format!("is missing; the row has {names}"),
    };
    let fix = "an encoder reads `text` and learns `label`: rename the fields";
    RowError::new(record.line, message, fix).in_field("text")
}

/// The label, whatever it is.
fn label(record: &Record) -> Result<&Value, RowError> {
    let message = match record.fields.get("label") {
        None => "is missing",
        Some(Value::Null) => "is null",
        Some(Value::String(text)) if text.trim().is_empty() => "is empty",
        Some(label) => return Ok(label),
    };
    Err(RowError::new(record.line, message, "add the label or remove the row").in_field("label"))
}

fn class(record: &Record, value: &Value) -> Result<String, RowError> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(wrong_kind(record, "label", other, "a string or an integer")),
    }
}

fn classes(record: &Record) -> Result<Vec<String>, RowError> {
    match label(record)? {
        Value::Array(labels) => labels.iter().map(|value| class(record, value)).collect(),
        other => Err(wrong_kind(record, "label", other, "a list")),
    }
}

/// The field that holds a number: `label` before `score`.
fn number_field(record: &Record) -> Option<&'static str> {
    ["label", "score"]
        .into_iter()
        .find(|field| record.number(field).is_some())
}

fn number(record: &Record) -> Result<f64, RowError> {
    let number = number_field(record).and_then(|field| record.number(field));
    number.ok_or_else(|| match label(record) {
        Ok(other) => wrong_kind(record, "label", other, "a finite number"),
        Err(error) => error,
    })
}

fn other_field(record: &Record, field: &str) -> RowError {
    let fix = "write the target of every row into the same field";
    RowError::new(record.line, "holds no number, unlike in earlier rows", fix).in_field(field)
}

fn wrong_kind(record: &Record, field: &str, found: &Value, expected: &str) -> RowError {
    let message = match found {
        Value::String(text) if text.trim().is_empty() => "holds an empty string".to_owned(),
        Value::String(text) if expected.ends_with("number") => format!("holds `{text}`"),
        found => format!("holds {}", value_kind(found)),
    };
    RowError::new(record.line, message, format!("write {expected}")).in_field(field)
}
