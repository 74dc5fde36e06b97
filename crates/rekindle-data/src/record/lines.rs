//! Numbered lines of a text file.

use std::io::BufRead;
use std::str::Utf8Error;

use crate::RowError;

/// A line without its line break, and its number from 1.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
}

/// The lines of a file, split at `\n` alone; a carriage return before it belongs to the break.
pub(super) struct Lines<R> {
    reader: R,
    number: usize,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            number: 0,
            failed: false,
        }
    }

    fn decode(&self, mut bytes: Vec<u8>) -> Result<Line, RowError> {
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        if self.number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| not_utf8(self.number, "line", error.utf8_error()))?;
        Ok(Line {
            number: self.number,
            text,
        })
    }
}

/// The error of a line or value that is not UTF-8.
pub(super) fn not_utf8(line: usize, part: &str, error: Utf8Error) -> RowError {
    let byte = error.valid_up_to() + 1;
    let message = format!("not UTF-8 from byte {byte} of the {part} on");
    RowError::new(line, message, "save the file as UTF-8")
}

/// The error of a file that stops being readable; nothing follows it.
pub(super) fn unreadable(line: usize, error: &std::io::Error) -> RowError {
    RowError::new(
        line,
        format!("reading stopped here: {error}"),
        "check the disk or the program that writes the data",
    )
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        self.number += 1;
        let mut bytes = Vec::new();
        match self.reader.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(self.decode(bytes)),
            Err(error) => {
                self.failed = true;
                Some(Err(unreadable(self.number, &error)))
            }
        }
    }
}
