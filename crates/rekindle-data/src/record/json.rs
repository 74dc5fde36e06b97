//! JSON Lines, or one JSON array of objects.

use std::io::BufRead;
use std::iter::once;

use serde_json::Value;
use serde_json::value::RawValue;

use super::lines::{Line, Lines};
use super::{Record, value_kind};
use crate::RowError;

type Row = Result<Record, RowError>;

/// Rows of a JSON Lines file, read line by line.
///
/// Only a file whose first line opens an array is read as a whole.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    array: Option<std::vec::IntoIter<Row>>,
    started: bool,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            array: None,
            started: false,
        }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if let Some(array) = &mut self.array {
            return array.next();
        }
        let is_blank = |line: &Line| line.text.trim_ascii().is_empty();
        let not_blank = |line: &Result<Line, _>| !line.as_ref().is_ok_and(is_blank);
        let line = match self.lines.find(not_blank)? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let is_first = !std::mem::replace(&mut self.started, true);
        if is_first && line.text.trim_ascii_start().starts_with('[') {
            let rows = array_rows(line, &mut self.lines).into_iter();
            return self.array.insert(rows).next();
        }
        Some(line_row(&line))
    }
}

fn line_row(line: &Line) -> Row {
    match serde_json::from_str(&line.text) {
        Ok(value) => object(line.number, value),
        Err(error) => Err(invalid(
            line.number,
            &error,
            "write one JSON object per line",
        )),
    }
}

fn object(line: usize, value: Value) -> Row {
    match value {
        Value::Object(fields) => Ok(Record { line, fields }),
        other => Err(RowError::new(
            line,
            format!("holds {}, expected an object", value_kind(&other)),
            "write one JSON object per line",
        )),
    }
}

fn invalid(line: usize, error: &serde_json::Error, fix: &str) -> RowError {
    let (row, column) = (error.line(), error.column());
    let text = error.to_string();
    let text = text.trim_end_matches(&format!(" at line {row} column {column}"));
    let message = format!("not valid JSON at column {column}: {text}");
    RowError::new(line, message, fix)
}

/// The elements of an array that begins on `first`, or the rows of a file that only looks like one.
fn array_rows(first: Line, rest: impl Iterator<Item = Result<Line, RowError>>) -> Vec<Row> {
    let first_number = first.number;
    let first_is_complete = serde_json::from_str::<Value>(&first.text).is_ok();
    let lines: Result<Vec<Line>, RowError> = once(Ok(first)).chain(rest).collect();
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => return vec![Err(error)],
    };
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let text = texts.join("\n");
    match serde_json::from_str::<Vec<&RawValue>>(&text) {
        Ok(elements) => elements_with_lines(&text, first_number, &elements),
        Err(_) if first_is_complete => lines.iter().map(line_row).collect(),
        Err(error) => {
            let line = first_number + error.line() - 1;
            let fix = "write one JSON object per line, or one array of objects";
            vec![Err(invalid(line, &error, fix))]
        }
    }
}

fn elements_with_lines(text: &str, first_line: usize, elements: &[&RawValue]) -> Vec<Row> {
    let (mut line, mut seen) = (first_line, 0);
    let mut rows = Vec::with_capacity(elements.len());
    for element in elements {
        // Elements borrow from the text, so their addresses tell where they stand.
        let start = element.get().as_ptr() as usize - text.as_ptr() as usize;
        line += text[seen..start].matches('\n').count();
        seen = start;
        rows.push(match serde_json::from_str(element.get()) {
            Ok(value) => object(line, value),
            Err(error) => Err(invalid(line, &error, "correct the value")),
        });
    }
    rows
}
