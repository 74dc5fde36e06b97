//! What can be wrong with a corpus, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rekindle_data::{DataError, RenderError, TokenizerError};

/// A corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Nothing is there.
    #[error("no text is found at `{pattern}`")]
    NothingFound {
        /// What was asked for.
        pattern: String,
    },
    /// A folder has no file that can be read as text.
    #[error("`{}` has no `.txt`, `.jsonl` or `.ndjson` file in it", folder.display())]
    NoFiles {
        /// The folder.
        folder: PathBuf,
    },
    /// A pattern is none.
    #[error("`{pattern}` is not a pattern: {source}")]
    Pattern {
        /// What was asked for.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A folder or file does not open.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is a table.
    #[error("`{}` is a table, not a text", path.display())]
    Table {
        /// The file.
        path: PathBuf,
    },
    /// A file's rows cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// No file holds a document.
    #[error("there is no text in {}", files(paths))]
    Empty {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// A text cannot become tokens.
    #[error("{}:{line}: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line on which it begins, from 1.
        line: usize,
        /// What is wrong.
        source: TextError,
    },
    /// The tokenizer does not tell its special tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file was written to while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The cache does not work.
    #[error("cannot {act} `{}`: {source}", path.display())]
    Cache {
        /// What was to be done.
        act: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Rows are too short to hold anything.
    #[error("rows of {max_length} tokens are too short, at least {least} are needed")]
    NoRoom {
        /// The most tokens of a row.
        max_length: usize,
        /// How many there must be.
        least: usize,
    },
}

/// Why a text cannot become tokens.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The tokenizer of an encoder fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The renderer of a decoder refuses it.
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl CorpusError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NothingFound { .. } => {
                "check the path; it may be a file, a folder, or a pattern such as `texts/*.txt`"
            }
            Self::NoFiles { .. } => "name the files one by one, or by a pattern",
            Self::Pattern { .. } => {
                "`*`, `?`, `**` and `[abc]` have a meaning; write `[*]` for a star"
            }
            Self::Read { .. } => "check the path and its permissions",
            Self::Table { .. } => "write its texts as JSON Lines, `{\"text\": \"...\"}`",
            Self::Data(DataError::Empty { .. }) | Self::Empty { .. } => {
                "add texts, or rows such as `{\"text\": \"...\"}`"
            }
            Self::Data(error) => return error.hint(),
            Self::Text { source, .. } => return source.hint(),
            Self::Tokenizer(error) => return error.hint(),
            Self::Changed { .. } => "start again when it is complete",
            Self::Cache { path, source, .. } => return cache_hint(path, source),
            Self::NoRoom { .. } => "raise the maximum length",
        };
        Some(text.to_owned())
    }

    /// A failure to do something to the cache.
    pub(crate) fn cache(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Cache {
            act,
            path: path.to_owned(),
            source,
        }
    }

    /// A failure to read a file or folder of the user's.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}

impl TextError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tokenizer(error) => error.hint(),
            Self::Render(error) => error.hint(),
        }
    }
}

fn cache_hint(path: &Path, error: &io::Error) -> Option<String> {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("free space on the disk of `{path}`"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(format!(
            "let the cache be in a folder that can be written to, not `{path}`"
        )),
        _ => None,
    }
}

fn files(paths: &[PathBuf]) -> String {
    match paths {
        [only] => format!("`{}`", only.display()),
        [first, rest @ ..] => format!("`{}` and {} more files", first.display(), rest.len()),
        [] => "no file".to_owned(),
    }
}
