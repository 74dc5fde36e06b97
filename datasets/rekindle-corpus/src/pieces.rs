//! The texts of a file's documents, one at a time, long ones in pieces.

mod json;
mod lines;
mod text;

use std::io::BufRead;

use rekindle_data::RowError;

use crate::documents::Kind;

/// No piece is longer, in bytes: while it is tokenized, a text takes up to two hundred times its size in memory.
const LONGEST: usize = 1 << 18;

/// A document, or a part of one that is too long to be tokenized as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// Whether the document ends with it; such a piece may be empty.
    pub(crate) is_last: bool,
}

/// The pieces of a file, and the rows that cannot be used.
pub(crate) type Pieces = Box<dyn Iterator<Item = Result<Piece, RowError>>>;

/// Reads a file of this kind.
pub(crate) fn read(reader: impl BufRead + 'static, kind: Kind) -> Pieces {
    match kind {
        Kind::Rows => Box::new(json::Rows::new(reader, LONGEST)),
        _ => Box::new(text::Texts::new(reader, kind, LONGEST)),
    }
}

/// Where to end a piece that goes on after `bytes`: before the last white space, else between characters.
fn cut(bytes: &[u8]) -> usize {
    let space = bytes.iter().rposition(u8::is_ascii_whitespace);
    if let Some(place) = space.filter(|place| *place > 0) {
        return place;
    }
    let is_start = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let start = bytes.iter().rposition(is_start);
    start.filter(|place| *place > 0).unwrap_or(bytes.len())
}
