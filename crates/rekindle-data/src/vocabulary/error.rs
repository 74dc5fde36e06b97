//! Why a tokenizer cannot be made, and what to do about it.

use std::io;
use std::path::PathBuf;

/// A tokenizer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The texts hold no word.
    #[error("there is no text to make a tokenizer from: {texts} texts, and no word in them")]
    NoText {
        /// Texts that were read.
        texts: u64,
    },
    /// The special tokens and the alphabet alone are more than the vocabulary.
    #[error(
        "a vocabulary of {asked} tokens has no room for {special} special tokens and {alphabet} of the alphabet"
    )]
    TooSmall {
        /// Tokens asked for.
        asked: usize,
        /// Special tokens.
        special: usize,
        /// Tokens of single characters.
        alphabet: usize,
    },
    /// A special token is blank, or is there twice.
    #[error("a special token is blank or given twice: `{0}`")]
    Special(String),
    /// The output folder holds something.
    #[error("output folder `{}` is not empty", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The `tokenizers` crate fails.
    #[error("the tokenizer cannot be made: {source}")]
    Build {
        /// What it says.
        source: tokenizers::Error,
    },
}

impl VocabularyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoText { .. } => "give text files, or JSON lines with `text`".to_owned(),
            Self::TooSmall {
                special, alphabet, ..
            } => {
                let least = special + alphabet;
                format!("give `--vocab-size {least}`, better some thousands more")
            }
            Self::Special(_) => "those of BERT are there without being named".to_owned(),
            Self::Occupied { .. } => "choose another `--output`, or remove the folder".to_owned(),
            Self::Write { .. } => "choose another path, one that can be written".to_owned(),
            Self::Build { .. } => return None,
        };
        Some(hint)
    }
}
