//! Numbered lines of a text file, in parts where they are too long to be held.

use std::io::{self, BufRead, Read};
use std::mem;
use std::str::Utf8Error;

use rekindle_data::RowError;

use super::cut;

/// A line, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The text without its line break.
    pub(super) text: String,
    /// The line's number, from 1.
    pub(super) number: usize,
    /// Whether the line begins with it.
    pub(super) is_first: bool,
    /// Whether the line ends with it.
    pub(super) is_last: bool,
    /// Whether a line break follows.
    pub(super) has_break: bool,
}

/// The lines of a file, split at `\n` alone; a carriage return before it belongs to the break.
pub(super) struct Lines<R> {
    reader: R,
    longest: usize,
    number: usize,
    /// The beginning of the next part.
    carried: Vec<u8>,
    in_line: bool,
    has_failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, longest: usize) -> Self {
        Self {
            reader,
            longest,
            number: 0,
            carried: Vec::new(),
            in_line: false,
            has_failed: false,
        }
    }

    /// The bytes of the next part with its line break; none at the end of the file.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = mem::take(&mut self.carried);
        let room = self.longest - bytes.len();
        let mut limited = (&mut self.reader).take(room as u64);
        limited.read_until(b'\n', &mut bytes)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn part(&mut self, mut bytes: Vec<u8>) -> Result<Part, RowError> {
        let is_first = !mem::replace(&mut self.in_line, false);
        self.number += usize::from(is_first);
        let has_break = bytes.ends_with(b"\n");
        let is_last = has_break || bytes.len() < self.longest;
        if is_last {
            bytes.truncate(bytes.len() - usize::from(has_break));
            bytes.truncate(bytes.len() - usize::from(bytes.ends_with(b"\r")));
        } else {
            self.carried = bytes.split_off(cut(&bytes));
            self.in_line = true;
        }
        if self.number == 1 && is_first && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let number = self.number;
        let text =
            String::from_utf8(bytes).map_err(|error| not_utf8(number, error.utf8_error()))?;
        Ok(Part {
            text,
            number,
            is_first,
            is_last,
            has_break,
        })
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Part, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        match self.read() {
            Ok(Some(bytes)) => Some(self.part(bytes)),
            // The file ends where a part was full.
            Ok(None) if self.in_line => Some(self.part(Vec::new())),
            Ok(None) => None,
            Err(error) => {
                self.has_failed = true;
                let message = format!("reading stopped here: {error}");
                let fix = "check the disk";
                Some(Err(RowError::new(self.number + 1, message, fix)))
            }
        }
    }
}

fn not_utf8(line: usize, error: Utf8Error) -> RowError {
    let byte = error.valid_up_to() + 1;
    let message = format!("not UTF-8 from byte {byte} of the line on");
    RowError::new(line, message, "save the file as UTF-8")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn parts(text: &str, longest: usize) -> Vec<Part> {
        let lines = Lines::new(Cursor::new(text.to_owned()), longest);
        lines.map(Result::unwrap).collect()
    }

    #[test]
    fn marks_and_breaks_are_dropped() {
        let parts = parts("\u{feff}one\r\n\r\ntwo\u{b}\u{2028}x", 100);
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part.number, part.text.as_str(), part.has_break))
            .collect();
        let expected = [
            (1, "one", true),
            (2, "", true),
            (3, "two\u{b}\u{2028}x", false),
        ];
        assert_eq!(found, expected);
        assert!(parts.iter().all(|part| part.is_first && part.is_last));
    }

    #[test]
    fn a_long_line_comes_in_parts_that_make_it_up() {
        for text in [
            "one two three\nfour",
            "onetwothreefour\r\nfive\n",
            "ééééééé",
            "aéa東京b",
        ] {
            for longest in 5..20 {
                let mut whole = String::new();
                for part in parts(text, longest) {
                    assert!(part.text.len() <= longest);
                    whole.push_str(&part.text);
                    if part.has_break {
                        whole.push('\n');
                    }
                }
                assert_eq!(whole, text.replace('\r', ""), "{longest}");
            }
        }
    }

    #[test]
    fn parts_end_before_white_space_where_there_is_some() {
        let parts = parts("one two three\nfour", 9);
        let texts: Vec<_> = parts
            .iter()
            .map(|part| (&*part.text, part.is_last))
            .collect();
        let expected = [("one two", false), (" three", true), ("four", true)];
        assert_eq!(texts, expected);
        assert_eq!(parts[1].number, 1);
        assert_eq!(parts[2].number, 2);
    }
}
