//! Rows of a data file, whatever its format.

mod conll;
mod delimited;
mod json;
mod lines;
mod text;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::{DataError, RowError};

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, or one array of objects.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
    /// Tab-separated values with a header line.
    Tsv,
    /// A token and its tag per line, a blank line between sentences.
    Conll,
    /// Plain text; the whole file is one row.
    Text,
}

/// A format and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatGuess {
    /// The format.
    pub format: Format,
    /// What tells so.
    pub reason: String,
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Jsonl => "JSON Lines",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Conll => "CoNLL",
            Self::Text => "plain text",
        })
    }
}

impl Format {
    /// The format that a file's extension tells, else its first bytes.
    pub fn infer(path: &Path, head: &[u8]) -> Option<FormatGuess> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let format = match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "json" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "conll" | "bio" | "iob" | "iob2" => Self::Conll,
            // Rows of another format are often saved under this name.
            "txt" => match Self::infer_from_content(head) {
                Some(guess) if !is_prose(guess.format, head) => return Some(guess),
                _ => Self::Text,
            },
            _ => return Self::infer_from_content(head),
        };
        let reason = format!("extension `.{extension}`");
        Some(FormatGuess { format, reason })
    }

    fn infer_from_content(head: &[u8]) -> Option<FormatGuess> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.trim_start_matches('\u{feff}').split('\n');
        let first = lines.find(|line| !line.trim().is_empty())?;
        let (format, reason) = if first.trim_start().starts_with(['{', '[']) {
            (Self::Jsonl, "begins with a JSON object or array")
        } else if conll::is_token_line(first) {
            (Self::Conll, "the first line ends in a tag")
        } else if first.contains('\t') {
            (Self::Tsv, "the first line has tabs")
        } else if first.contains(',') {
            (Self::Csv, "the first line has commas")
        } else {
            return None;
        };
        let reason = reason.to_owned();
        Some(FormatGuess { format, reason })
    }
}

/// Whether what looks like a header with commas is a sentence.
fn is_prose(format: Format, head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    format == Format::Csv && lines.next().is_some_and(|line| line.contains(' '))
}

/// One row as JSON fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Line on which the row begins, from 1.
    pub line: usize,
    /// The fields in the order of the file.
    pub fields: Map<String, Value>,
}

impl Record {
    /// A field that is there and not null.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A field that is a finite number, or a text that reads as one (all that CSV has).
    pub fn number(&self, name: &str) -> Option<f64> {
        let number = match self.field(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// The names of all fields in backticks, for messages.
    pub fn field_names(&self) -> String {
        let names: Vec<_> = self.fields.keys().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}

/// What kind of JSON value this is, with its article, for messages.
pub fn value_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The rows of a file, read one by one.
///
/// Lines end in `\n` (or `\r\n`) alone, so that other separators stay part of a text; a byte order
/// mark is dropped. CSV and TSV values are strings; a `CoNLL` sentence has the lists `tokens` and
/// `tags`, tags as they stand in the file; a plain text is the field `text`. A row that cannot be read is an error, and the rows after
/// it follow.
pub struct Records {
    rows: Box<dyn Iterator<Item = Result<Record, RowError>>>,
    guess: FormatGuess,
}

impl Records {
    /// Opens a file; without a format, it is inferred.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, DataError> {
        let failed = |source| DataError::Open {
            path: path.to_owned(),
            source,
        };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let head = reader.fill_buf().map_err(failed)?;
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            let path = path.to_owned();
            return Err(DataError::Utf16 { path });
        }
        let guess = match format {
            Some(format) => Some(FormatGuess::given(format)),
            // An empty file is a file of no rows, whatever its name.
            None if head.is_empty() => Some(FormatGuess::given(Format::Jsonl)),
            None => Format::infer(path, head),
        };
        let guess = guess.ok_or_else(|| DataError::UnknownFormat {
            path: path.to_owned(),
        })?;
        Ok(Self::new(reader, guess))
    }

    /// Reads from anything, for instance standard input.
    pub fn from_reader(reader: impl BufRead + 'static, format: Format) -> Self {
        Self::new(reader, FormatGuess::given(format))
    }

    fn new(reader: impl BufRead + 'static, guess: FormatGuess) -> Self {
        let rows: Box<dyn Iterator<Item = _>> = match guess.format {
            Format::Jsonl => Box::new(json::Rows::new(reader)),
            Format::Csv | Format::Tsv => Box::new(delimited::Rows::new(reader, guess.format)),
            Format::Conll => Box::new(conll::Sentences::new(reader)),
            Format::Text => Box::new(text::row(reader).into_iter()),
        };
        Self { rows, guess }
    }

    /// The format that is read and how it was found.
    pub fn guess(&self) -> &FormatGuess {
        &self.guess
    }

    /// The format that is read.
    pub fn format(&self) -> Format {
        self.guess.format
    }
}

impl FormatGuess {
    fn given(format: Format) -> Self {
        Self {
            format,
            reason: "given".to_owned(),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}
