//! The texts themselves, for what is made of them before there is a tokenizer.

use std::path::PathBuf;

use rekindle_data::Documents;

use crate::error::CorpusError;
use crate::files;
use crate::source::Source;

/// The texts of files, folders and patterns as [`crate::Corpus::paths`] has them, one line or row at a time; of a
/// long one, pieces. Only what is given is in memory.
///
/// Rows that cannot be used are an error of their file, before any text is given.
pub fn texts(
    paths: &[PathBuf],
) -> Result<impl Iterator<Item = Result<String, CorpusError>>, CorpusError> {
    let files = files::find(paths)?.into_iter();
    let sources = files.map(|path| Source::survey(path, Documents::Line));
    let sources: Vec<Source> = sources.collect::<Result<_, _>>()?;
    sources.iter().try_for_each(Source::check)?;
    Ok(sources.into_iter().flat_map(texts_of))
}

fn texts_of(source: Source) -> Box<dyn Iterator<Item = Result<String, CorpusError>>> {
    match source.pieces() {
        Ok((pieces, _)) => Box::new(pieces.map(move |piece| match piece {
            Ok(piece) => Ok(piece.text),
            Err(error) => Err(source.bad_row(error)),
        })),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}
