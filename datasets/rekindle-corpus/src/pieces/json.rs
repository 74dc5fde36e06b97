//! Documents in the rows of a JSON Lines file.

use std::collections::VecDeque;
use std::io::BufRead;

use rekindle_data::{Format, Record, Records, RowError, value_kind};
use serde_json::Value;

use super::{Piece, cut};

/// The texts of the rows. An array of objects instead of lines is read as a whole.
pub(super) struct Rows {
    records: Records,
    longest: usize,
    /// The rest of a text that is too long for one piece.
    waiting: VecDeque<Piece>,
}

impl Rows {
    pub(super) fn new(reader: impl BufRead + 'static, longest: usize) -> Self {
        Self {
            records: Records::from_reader(reader, Format::Jsonl),
            longest,
            waiting: VecDeque::new(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Piece, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.waiting.pop_front() {
                return Some(Ok(piece));
            }
            let record = match self.records.next()? {
                Ok(record) => record,
                Err(error) => return Some(Err(error)),
            };
            match text(&record) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => self.waiting = pieces(text, record.line, self.longest),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The text of a row.
fn text(record: &Record) -> Result<&str, RowError> {
    let error =
        |message: String, fix: &str| RowError::new(record.line, message, fix).in_field("text");
    match record.field("text") {
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            let message = format!("holds {}", value_kind(other));
            Err(error(message, "write a string"))
        }
        None => {
            let names = match record.field_names() {
                names if names.is_empty() => "no field".to_owned(),
                names => names,
            };
            let message = format!("is missing; the row has {names}");
            Err(error(message, "add the text or remove the row"))
        }
    }
}

/// A text in pieces, cut at line ends where there are some.
fn pieces(mut text: &str, line: usize, longest: usize) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    while text.len() > longest {
        let head = &text.as_bytes()[..longest];
        let after_line = head.iter().rposition(|byte| *byte == b'\n');
        let place = after_line.map_or_else(|| cut(head), |place| place + 1);
        let (piece, rest) = text.split_at(place);
        pieces.push_back(Piece {
            text: piece.to_owned(),
            line,
            is_last: false,
        });
        text = rest;
    }
    pieces.push_back(Piece {
        text: text.to_owned(),
        line,
        is_last: true,
    });
    pieces
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &'static str, longest: usize) -> Vec<Result<Piece, RowError>> {
        Rows::new(Cursor::new(text), longest).collect()
    }

    #[test]
    fn long_texts_come_in_pieces_that_make_them_up() {
        let rows =
            "{\"text\": \"one two\\nthree\"}\n{\"text\": \" \"}\n{\"text\": \"東京東京東京\"}\n";
        for longest in [5, 6, 8, 9, 100] {
            let pieces: Vec<_> = read(rows, longest)
                .into_iter()
                .map(Result::unwrap)
                .collect();
            let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            assert_eq!(text, "one two\nthree東京東京東京", "{longest}");
            assert_eq!(pieces.iter().filter(|piece| piece.is_last).count(), 2);
            assert!(pieces.iter().all(|piece| piece.text.len() <= longest));
            assert_eq!((pieces[0].line, pieces.last().unwrap().line), (1, 3));
        }
    }

    #[test]
    fn a_row_without_a_text_is_named() {
        let rows =
            "{\"text\": 3}\n{\"body\": \"a\"}\n[1]\n{\"text\": \"a\"}\n{\"text\": null}\n{}\n{";
        let found = read(rows, 100);
        let messages: Vec<String> = found
            .iter()
            .filter_map(|row| row.as_ref().err().map(ToString::to_string))
            .collect();
        assert_eq!(messages.len(), 6, "{messages:?}");
        assert_eq!(messages[0], "line 1: field `text`: holds an integer");
        assert_eq!(
            messages[1],
            "line 2: field `text`: is missing; the row has `body`"
        );
        assert!(
            messages[5].starts_with("line 7: not valid JSON"),
            "{messages:?}"
        );
    }
}
