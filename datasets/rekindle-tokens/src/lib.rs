//! Tagged tokens: named entities, slots, parts of speech.
//!
//! A row has two lists of equal length, `tokens` and `tags`; a file in columns (`CoNLL`) has one such
//! row per sentence. Entity tags are BIO; a file in IOB1 is read as such and converted.

mod iob;
mod row;

pub use row::{example, read, words};
