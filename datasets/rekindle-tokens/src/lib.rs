//! Tagged tokens: named entities, slots, parts of speech.
//!
//! A row has two lists of equal length, `tokens` and `tags`; a file in columns (`CoNLL`) has one such
//! row per sentence. Entity tags are BIO; a file in IOB1 is read as such and converted.

mod iob;
mod row;

use std::path::Path;

use rekindle_data::{DataError, Dataset, Source, TaggedExample};

pub use row::{example, words};

/// Reads a file of tagged sentences.
pub fn read(path: &Path) -> Result<Dataset<TaggedExample>, DataError> {
    row::examples(Source::read(path)?)
}
