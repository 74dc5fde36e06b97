//! The command `tokenizer train`: text files in, a tokenizer's folder out.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use rekindle_data::{DataError, NewTokenizer, Records, RowError, TokenizerRecipe};

use crate::error::Error;

/// Files of a folder that are read.
const EXTENSIONS: [&str; 4] = ["txt", "jsonl", "ndjson", "json"];

/// Makes a tokenizer from texts and writes it into a new or empty folder.
///
/// A text is a line of a `.txt` file, or the field `text` of a row; of a folder, all such files in it and in its
/// folders are read. Files are read line by line.
pub fn train(
    recipe: &TokenizerRecipe,
    data: &[PathBuf],
    output: &Path,
) -> Result<NewTokenizer, Error> {
    NewTokenizer::check_folder(output)?;
    let files = files(data)?;
    let made = recipe.train(files.iter().flat_map(|file| texts(file)))?;
    made.save(output)?;
    Ok(made)
}

/// The texts of a file, one by one; a row that cannot be used is an error.
fn texts(path: &Path) -> Box<dyn Iterator<Item = Result<String, Error>>> {
    let result = if path.extension().is_some_and(|extension| extension == "txt") {
        lines(path)
    } else {
        rows(path)
    };
    result.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
}

type Texts = Result<Box<dyn Iterator<Item = Result<String, Error>>>, Error>;

/// The lines of a plain text.
fn lines(path: &Path) -> Texts {
    let path = path.to_owned();
    let failed = move |source| {
        let path = path.clone();
        Error::Read { path, source }
    };
    let file = File::open(&path).map_err(&failed)?;
    Ok(Box::new(
        BufReader::new(file)
            .lines()
            .map(move |line| line.map_err(&failed)),
    ))
}

/// The field `text` of each row.
fn rows(path: &Path) -> Texts {
    let records = Records::open(path, None)?;
    let path = path.to_owned();
    let text = move |row: Result<rekindle_data::Record, RowError>| {
        let text = row.and_then(|record| {
            let text = record.field("text").and_then(|text| text.as_str());
            text.map(str::to_owned).ok_or_else(|| {
                RowError::new(record.line, "is missing or not a text", "write something")
                    .in_field("text")
            })
        });
        text.map_err(|error| DataError::bad_rows(path.clone(), vec![error], 1).into())
    };
    Ok(Box::new(records.map(text)))
}

/// The files that are meant, those of folders in the order of their paths.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, &mut files)?;
            if files.len() == before {
                return Err(DataError::Empty { path: path.clone() }.into());
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Adds the texts in a folder and in all folders in it, without those that are hidden.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let entries = entries.map(|entry| Ok(entry.map_err(failed)?.path()));
    let mut paths = entries.collect::<Result<Vec<_>, Error>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_text = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
        if name.starts_with('.') {
            continue;
        } else if path.is_dir() {
            collect(&path, files)?;
        } else if is_text {
            files.push(path);
        }
    }
    Ok(())
}
