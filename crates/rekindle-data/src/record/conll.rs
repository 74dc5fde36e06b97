//! Sentences in columns: a token and its tag per line, a blank line after each sentence.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::Record;
use super::lines::{Line, Lines};
use crate::RowError;

/// Sentences of a file in columns; the first column is the token, the last one the tag.
///
/// Columns are separated by a tab where the line has one, else by spaces. `-DOCSTART-` lines are
/// skipped, and so are comments (`# ...`) before a sentence.
pub(super) struct Sentences<R> {
    lines: Lines<R>,
    /// Number of columns, as on the first line with a token.
    width: Option<usize>,
}

#[derive(Default)]
struct Sentence {
    line: usize,
    tokens: Vec<Value>,
    tags: Vec<Value>,
    error: Option<RowError>,
}

impl Sentence {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.error.is_none()
    }

    fn finish(self) -> Result<Record, RowError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut fields = Map::new();
        fields.insert("tokens".to_owned(), Value::Array(self.tokens));
        fields.insert("tags".to_owned(), Value::Array(self.tags));
        Ok(Record {
            line: self.line,
            fields,
        })
    }
}

impl<R: BufRead> Sentences<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            width: None,
        }
    }

    fn add(&mut self, sentence: &mut Sentence, line: &Line) -> Result<(), RowError> {
        let columns = columns(&line.text);
        let width = *self.width.get_or_insert(columns.len());
        if columns.len() < 2 || columns.len() != width {
            let message = match (columns.len(), width) {
                (1, 0..2) => "the line has one column".to_owned(),
                (found, expected) => {
                    format!("the number of columns is {found}, above it is {expected}")
                }
            };
            return Err(RowError::new(
                line.number,
                message,
                "write a token, then its tag",
            ));
        }
        if sentence.is_empty() {
            sentence.line = line.number;
        }
        sentence.tokens.push(Value::from(columns[0]));
        sentence.tags.push(Value::from(columns[width - 1]));
        Ok(())
    }

    /// A token may be `#` itself: such a line looks like the others of the file.
    fn is_comment(&self, line: &str) -> bool {
        let looks_right = match self.width {
            Some(width) => columns(line).len() == width,
            None => !line.contains(" = "),
        };
        line.starts_with("# ") && !(looks_right && is_token_line(line))
    }
}

impl<R: BufRead> Iterator for Sentences<R> {
    type Item = Result<Record, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut sentence = Sentence::default();
        while let Some(line) = self.lines.next() {
            let added = line.and_then(|line| {
                let text = line.text.trim_ascii();
                let is_break = text.is_empty() || text.starts_with("-DOCSTART-");
                if is_break || (sentence.is_empty() && self.is_comment(text)) {
                    return Ok(is_break);
                }
                self.add(&mut sentence, &line).map(|()| false)
            });
            match added {
                Ok(true) if !sentence.is_empty() => return Some(sentence.finish()),
                Ok(_) => {}
                // The rest of a bad sentence is passed over; its first error counts.
                Err(error) => {
                    sentence.error.get_or_insert(error);
                }
            }
        }
        (!sentence.is_empty()).then(|| sentence.finish())
    }
}

/// True if the line reads as a token with an entity tag, such as `Paris B-city`.
pub(super) fn is_token_line(line: &str) -> bool {
    let columns = columns(line);
    let tag = columns.last().copied().unwrap_or_default();
    let is_prefixed = |tag: &str| {
        let (prefix, name) = tag.split_once('-').unwrap_or_default();
        !name.is_empty() && matches!(prefix, "B" | "I" | "E" | "S" | "L" | "U")
    };
    columns[0] == "-DOCSTART-" || (columns.len() > 1 && (tag == "O" || is_prefixed(tag)))
}

fn columns(line: &str) -> Vec<&str> {
    let line = line.trim_end_matches([' ', '\t', '\r']);
    if line.contains('\t') {
        line.split('\t').collect()
    } else {
        line.split(' ')
            .filter(|column| !column.is_empty())
            .collect()
    }
}
