//! CSV and TSV with a header line.

use std::io::{BufRead, Read};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use serde_json::{Map, Value};

use super::lines::{not_utf8, unreadable};
use super::{Format, Record};
use crate::RowError;

/// A row that is put after the last one: a quote that is never closed swallows it, and so shows.
const END: &[u8] = b"\n\0end of data\0\n";

/// Rows of a CSV or TSV file.
///
/// CSV is quoted as in RFC 4180. TSV has no quoting across tabs and lines, since texts with single
/// quotation marks are common in such files; a value that is quoted as a whole is unquoted.
pub(super) struct Rows {
    reader: Reader<Box<dyn Read>>,
    format: Format,
    header: Option<Vec<String>>,
    done: bool,
}

/// A row as it stands in the file.
struct Raw {
    line: usize,
    values: Vec<String>,
}

impl Rows {
    pub(super) fn new(reader: impl BufRead + 'static, format: Format) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(if format == Format::Tsv { b'\t' } else { b',' })
            .quoting(format == Format::Csv)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Box::new(reader.chain(END)) as Box<dyn Read>);
        Self {
            reader,
            format,
            header: None,
            done: false,
        }
    }

    /// The next row that is not blank, or nothing at the end.
    fn raw(&mut self) -> Result<Option<Raw>, RowError> {
        let mut record = ByteRecord::new();
        loop {
            let read = self.reader.read_byte_record(&mut record);
            let line_after = self.reader.position().line() as usize;
            if let Err(error) = read {
                self.done = true;
                return Err(unreadable(line_after, &error.into()));
            }
            let bytes = record.as_slice();
            let breaks = bytes.split(|byte| *byte == b'\n').count() - 1;
            if bytes == END.trim_ascii() {
                return Ok(None);
            }
            if bytes.ends_with(END) {
                self.done = true;
                return Err(unclosed(line_after - breaks));
            }
            // The parser passes over empty lines, but not over those of `\r\n`.
            if record.len() > 1 || bytes != b"\r" {
                return self.decode(&record, line_after - 1 - breaks).map(Some);
            }
        }
    }

    fn decode(&self, record: &ByteRecord, line: usize) -> Result<Raw, RowError> {
        let last = record.len() - 1;
        let values = record.iter().enumerate();
        let values = values.map(|(k, bytes)| self.value(bytes, k == last, line));
        Ok(Raw {
            line,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    fn value(&self, bytes: &[u8], is_last: bool, line: usize) -> Result<String, RowError> {
        let text = str::from_utf8(bytes).map_err(|error| not_utf8(line, "value", error))?;
        let text = if is_last {
            text.strip_suffix('\r').unwrap_or(text)
        } else {
            text
        };
        let unquoted = (self.format == Format::Tsv)
            .then(|| unquoted(text))
            .flatten();
        Ok(unquoted.unwrap_or_else(|| text.to_owned()))
    }

    fn row(&mut self) -> Result<Option<Record>, RowError> {
        let names = match self.header.take() {
            Some(names) => names,
            // Without a header, no row after it makes sense.
            None => match self.raw().and_then(|raw| raw.map(header).transpose()) {
                Ok(Some(names)) => names,
                failed => {
                    self.done = true;
                    return failed.map(|_| None);
                }
            },
        };
        let raw = self.raw();
        let names = self.header.insert(names);
        raw?.map(|raw| record(names, raw, self.format)).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<Record, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.row().transpose();
        self.done |= row.is_none();
        row
    }
}

fn header(raw: Raw) -> Result<Vec<String>, RowError> {
    let names: Vec<String> = raw
        .values
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let repeated = (1..names.len()).find(|k| names[..*k].contains(&names[*k]));
    match repeated {
        Some(k) => Err(RowError::new(
            raw.line,
            format!("the header names `{}` twice", names[k]),
            "name every column once, in the first line",
        )),
        None => Ok(names),
    }
}

fn record(header: &[String], raw: Raw, format: Format) -> Result<Record, RowError> {
    if raw.values.len() != header.len() {
        let fix = match format {
            Format::Tsv => "use CSV or JSON Lines for texts with tabs or line breaks",
            _ => "put quotes around values that contain a comma or a line break",
        };
        let (found, expected) = (raw.values.len(), header.len());
        let message = format!("the number of values is {found}, the header has {expected}");
        return Err(RowError::new(raw.line, message, fix));
    }
    let values = raw.values.into_iter().map(Value::String);
    let fields: Map<String, Value> = header.iter().cloned().zip(values).collect();
    Ok(Record {
        line: raw.line,
        fields,
    })
}

fn unclosed(line: usize) -> RowError {
    RowError::new(
        line,
        "a quote opens in this row and never closes",
        "close it, and write a quote within a quoted value twice",
    )
}

/// The inside of a value that is quoted as a whole, its inner quotes doubled.
fn unquoted(text: &str) -> Option<String> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    let plain = inside.replace("\"\"", "");
    (!plain.contains('"')).then(|| inside.replace("\"\"", "\""))
}
