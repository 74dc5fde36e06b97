//! The command `tokenizer train`: text files in, a tokenizer's folder out.

use std::path::{Path, PathBuf};

use rekindle_corpus::texts;
use rekindle_data::{NewTokenizer, TokenizerRecipe};

use crate::error::Error;

/// Makes a tokenizer from texts and writes it into a new or empty folder.
///
/// The data are files, folders or patterns; a text is a line of a plain text, or the field `text` of a row.
pub fn train(
    recipe: &TokenizerRecipe,
    data: &[PathBuf],
    output: &Path,
) -> Result<NewTokenizer, Error> {
    NewTokenizer::check_folder(output)?;
    let texts = texts(data)?.map(|text| text.map_err(Error::from));
    let made = recipe.train(texts)?;
    made.save(output)?;
    Ok(made)
}
