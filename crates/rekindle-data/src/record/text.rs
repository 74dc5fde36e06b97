//! Plain text.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::Record;
use super::lines::{not_utf8, unreadable};
use crate::RowError;

/// The one row of a text file; none if it is blank.
pub(super) fn row(mut reader: impl BufRead) -> Option<Result<Record, RowError>> {
    let mut bytes = Vec::new();
    if let Err(error) = reader.read_to_end(&mut bytes) {
        return Some(Err(unreadable(1, &error)));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Some(Err(not_utf8(1, "file", error.utf8_error()))),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() {
        return None;
    }
    let mut fields = Map::new();
    fields.insert("text".to_owned(), Value::String(text.to_owned()));
    Some(Ok(Record { line: 1, fields }))
}
