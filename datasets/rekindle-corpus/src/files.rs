//! Which files are meant: a path, all texts of a folder, or a pattern.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};

use crate::error::CorpusError;

/// The files of a folder that are read.
const EXTENSIONS: [&str; 3] = ["txt", "jsonl", "ndjson"];

/// As a shell has it: hidden files are named, never matched, and a star stays in its folder.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files in the order of what was asked for, of each folder and pattern sorted by path, none twice.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CorpusError> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for path in paths {
        let files = if path.exists() {
            of_path(path)?
        } else {
            of_pattern(path)?
        };
        found.extend(files.into_iter().filter(|file| seen.insert(file.clone())));
    }
    Ok(found)
}

fn of_path(path: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let pattern = Path::new(&Pattern::escape(text_of(path)?)).join("**/*");
    let is_text = |file: &PathBuf| {
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) && file.is_file()
    };
    let mut files = matches(text_of(&pattern)?)?;
    files.retain(is_text);
    if files.is_empty() {
        let folder = path.to_owned();
        return Err(CorpusError::NoFiles { folder });
    }
    files.sort();
    Ok(files)
}

fn of_pattern(path: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let pattern = text_of(path)?;
    let mut files = Vec::new();
    for found in matches(pattern)? {
        if found.is_dir() {
            match of_path(&found) {
                Ok(of_folder) => files.extend(of_folder),
                // Of what a pattern matches, one folder may well be of something else.
                Err(CorpusError::NoFiles { .. }) => {}
                Err(error) => return Err(error),
            }
        } else {
            files.push(found);
        }
    }
    if files.is_empty() {
        let pattern = pattern.to_owned();
        return Err(CorpusError::NothingFound { pattern });
    }
    files.sort();
    Ok(files)
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let found = glob_with(pattern, OPTIONS).map_err(|source| CorpusError::Pattern {
        pattern: pattern.to_owned(),
        source,
    })?;
    let read = |error: glob::GlobError| {
        let path = error.path().to_owned();
        CorpusError::read(&path)(error.into())
    };
    found.map(|path| path.map_err(read)).collect()
}

/// A path as text, which patterns are.
fn text_of(path: &Path) -> Result<&str, CorpusError> {
    let error = || io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
    path.to_str()
        .ok_or_else(|| CorpusError::read(path)(error()))
}
