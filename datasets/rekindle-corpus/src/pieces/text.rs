//! Documents of plain text: lines, paragraphs, or the whole file.

use std::io::BufRead;
use std::mem;

use rekindle_data::RowError;

use super::Piece;
use super::lines::{Lines, Part};
use crate::documents::Kind;

/// The documents of a text file.
pub(super) struct Texts<R> {
    lines: Lines<R>,
    kind: Kind,
    longest: usize,
    document: Document,
    /// A piece that came about with the one before it.
    waiting: Option<Piece>,
    is_over: bool,
}

/// A document while it is read.
#[derive(Default)]
struct Document {
    /// What no piece has taken yet.
    text: String,
    /// The line on which the text begins.
    line: usize,
    /// A line has ended, and it is not known yet whether another one follows.
    owes_break: bool,
    /// There are lines of it, taken or not.
    is_open: bool,
    has_text: bool,
}

impl<R: BufRead> Texts<R> {
    pub(super) fn new(reader: R, kind: Kind, longest: usize) -> Self {
        Self {
            lines: Lines::new(reader, longest),
            kind,
            longest,
            document: Document::default(),
            waiting: None,
            is_over: false,
        }
    }

    /// What a part of a line completes.
    fn part(&mut self, part: &Part) -> Option<Piece> {
        let is_blank = part.text.trim().is_empty() && part.is_first && part.is_last;
        if is_blank && self.kind != Kind::Whole {
            return self.document.end();
        }
        let taken = self.document.add(part, self.longest);
        if self.kind != Kind::Lines || !part.is_last {
            return taken;
        }
        let rest = self.document.end();
        if taken.is_none() {
            return rest;
        }
        self.waiting = rest;
        taken
    }
}

impl Document {
    /// Adds a part of a line; what came before it, if there is no room for both.
    fn add(&mut self, part: &Part, longest: usize) -> Option<Piece> {
        if mem::take(&mut self.owes_break) {
            self.text.push('\n');
        }
        let is_full = !self.text.is_empty() && self.text.len() + part.text.len() > longest;
        let taken = is_full.then(|| self.take(false));
        if self.text.is_empty() {
            self.line = part.number;
        }
        self.text.push_str(&part.text);
        self.owes_break = part.has_break;
        self.is_open = true;
        self.has_text |= !part.text.trim().is_empty();
        taken
    }

    fn take(&mut self, is_last: bool) -> Piece {
        Piece {
            text: mem::take(&mut self.text),
            line: self.line,
            is_last,
        }
    }

    /// The rest of the document, if it has any text; what is added next belongs to another one.
    fn end(&mut self) -> Option<Piece> {
        let mut document = mem::take(self);
        (document.is_open && document.has_text).then(|| document.take(true))
    }
}

impl<R: BufRead> Iterator for Texts<R> {
    type Item = Result<Piece, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(piece) = self.waiting.take() {
            return Some(Ok(piece));
        }
        while !self.is_over {
            match self.lines.next() {
                Some(Ok(part)) => {
                    if let Some(piece) = self.part(&part) {
                        return Some(Ok(piece));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.is_over = true;
                    // Of a file that is one document, the last line break is a part.
                    if self.kind == Kind::Whole && mem::take(&mut self.document.owes_break) {
                        self.document.text.push('\n');
                    }
                    return self.document.end().map(Ok);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn pieces(text: &str, kind: Kind, longest: usize) -> Vec<Piece> {
        let texts = Texts::new(Cursor::new(text.to_owned()), kind, longest);
        texts.map(Result::unwrap).collect()
    }

    /// Documents with the line on which each begins.
    fn documents(text: &str, kind: Kind, longest: usize) -> Vec<(usize, String)> {
        let (mut documents, mut is_new) = (Vec::new(), true);
        for piece in pieces(text, kind, longest) {
            assert!(piece.text.len() <= longest + 1, "{piece:?}");
            if mem::replace(&mut is_new, piece.is_last) {
                documents.push((piece.line, String::new()));
            }
            documents.last_mut().unwrap().1.push_str(&piece.text);
        }
        assert!(is_new, "the last piece ends a document");
        documents
    }

    fn owned(documents: &[(usize, &str)]) -> Vec<(usize, String)> {
        let documents = documents.iter();
        documents
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect()
    }

    const TEXT: &str = "\n one two\nthree four five\r\n \r\n\nsix\n\n\nseven eight\n nine\n";

    #[test]
    fn lines_paragraphs_and_whole_files_are_what_they_are_in_any_pieces() {
        let lines = [
            (2, " one two"),
            (3, "three four five"),
            (6, "six"),
            (9, "seven eight"),
            (10, " nine"),
        ];
        let paragraphs = [
            (2, " one two\nthree four five"),
            (6, "six"),
            (9, "seven eight\n nine"),
        ];
        for longest in [6, 7, 9, 12, 15, 20, 100] {
            assert_eq!(
                documents(TEXT, Kind::Lines, longest),
                owned(&lines),
                "{longest}"
            );
            assert_eq!(
                documents(TEXT, Kind::Paragraphs, longest),
                owned(&paragraphs),
                "{longest}"
            );
            let whole = documents(TEXT, Kind::Whole, longest);
            assert_eq!(whole, [(1, TEXT.replace('\r', ""))], "{longest}");
        }
    }

    #[test]
    fn blank_files_hold_no_document() {
        for kind in [Kind::Lines, Kind::Paragraphs, Kind::Whole] {
            assert_eq!(pieces("", kind, 100), []);
            assert_eq!(pieces("\u{feff}\n \r\n\t\n", kind, 100), []);
        }
    }

    #[test]
    fn a_long_document_is_cut_at_line_ends() {
        let pieces = pieces("one\ntwo\nthree\nfour", Kind::Whole, 9);
        let texts: Vec<_> = pieces
            .iter()
            .map(|piece| (&*piece.text, piece.line))
            .collect();
        assert_eq!(texts, [("one\ntwo\n", 1), ("three\n", 3), ("four", 4)]);
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_named() {
        let texts = Texts::new(Cursor::new(b"one\ntw\xff\nthree"), Kind::Lines, 100);
        let found: Vec<_> = texts.collect();
        let error = found[1].as_ref().unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: not UTF-8 from byte 3 of the line on"
        );
        assert_eq!(found[2].as_ref().unwrap().text, "three");
    }
}
