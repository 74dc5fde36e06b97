//! Why raw text cannot be learned from.

use std::path::PathBuf;

/// What is wrong with a raw text, a teacher or the cache.
#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    /// A task that raw text serves, and no text.
    #[error("no texts to learn from")]
    NoTexts,
    /// A distillation without the model that is to be learned from.
    #[error("task `distill` needs a teacher")]
    NoTeacher,
    /// A teacher for another task.
    #[error("`distill.teacher` is for task `distill` alone")]
    IdleTeacher,
    /// The teacher writes, and gives no vectors.
    #[error("the teacher `{}` is a decoder", path.display())]
    DecoderTeacher {
        /// The model's folder.
        path: PathBuf,
    },
    /// The teacher has no block of this number.
    #[error("`distill.layer` is {asked}, and the teacher has blocks 1 to {most}")]
    NoSuchLayer {
        /// What the recipe says.
        asked: usize,
        /// The last block.
        most: usize,
    },
    /// Teacher and student do not see the same words in any text.
    #[error("teacher and student split every text into other words, so none can be taught")]
    OtherWords,
    /// A student that is an adapter.
    #[error("task `distill` trains a model of its own, not an adapter")]
    AdaptedStudent,
    /// The base does not predict words, so there is nothing to measure on a general text.
    #[error("the base `{}` has no head for words, so `data.general` cannot be measured", path.display())]
    NoOwnObjective {
        /// The model's folder.
        path: PathBuf,
    },
    /// A key of rows for raw text.
    #[error("`{key}` has no meaning for raw text: all of it is learned from")]
    IdleKey {
        /// The key.
        key: &'static str,
    },
    /// A key of raw text for rows that are none.
    #[error("`data.documents` is for raw text alone")]
    IdleDocuments,
    /// What is kept on disk for later runs cannot be read or written.
    #[error("cannot use the cache `{}`", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

impl TextsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoTexts => "give files, folders or patterns with `--data`".to_owned(),
            Self::NoTeacher => {
                "`--set distill.teacher=sentence-transformers/all-MiniLM-L6-v2`, or a folder"
                    .to_owned()
            }
            Self::IdleTeacher => "add `--task distill`, or leave the key out".to_owned(),
            Self::DecoderTeacher { .. } => "take an encoder of the BERT family".to_owned(),
            Self::NoSuchLayer { .. } => "take one of them; one in the middle often knows most".to_owned(),
            Self::OtherWords => {
                "take a tokenizer that splits words as the teacher's does, or leave `distill.layer` out"
                    .to_owned()
            }
            Self::AdaptedStudent => "take another `--method`".to_owned(),
            Self::NoOwnObjective { .. } => {
                "take a base that is a language model, or leave the key out".to_owned()
            }
            Self::IdleKey { key } => format!("remove `{key}`"),
            Self::IdleDocuments => {
                "`.txt` files and rows with a `text` alone are raw text; leave the key out"
                    .to_owned()
            }
            Self::Cache { .. } => {
                "free space, or name another folder in `REKINDLE_CACHE`".to_owned()
            }
        })
    }
}
