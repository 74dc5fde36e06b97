//! Texts and words to token ids, by the model's own `tokenizer.json`.
//!
//! Ids, truncation and special tokens are those of transformers' fast tokenizers, checked in
//! `tests/data/tokenizer.rs`. As there, the name of a special token in a text stands for that token.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{
    Encoding, InputSequence, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    truncate_encodings,
};

use crate::TextInput;

/// What happens to a row with more tokens than allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// Its end is cut off.
    #[default]
    Right,
    /// Its beginning is cut off.
    Left,
    /// The row is left out.
    Drop,
    /// The row is an error.
    Error,
}

/// How many tokens a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most tokens, special ones included.
    pub max_length: usize,
    /// What happens to a longer row.
    pub truncation: Truncation,
}

/// The tokens of a text or a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Segment of each token: 0 or 1, as the tokenizer says.
    pub type_ids: Vec<u32>,
    /// True if something was cut off.
    pub truncated: bool,
}

/// The tokens of a list of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedWords {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Segment of each token, as the tokenizer says.
    pub type_ids: Vec<u32>,
    /// The word that each token is part of; none for a special token.
    ///
    /// A word may have no token: it was cut off, or the tokenizer drops all of its characters.
    pub words: Vec<Option<usize>>,
    /// True if something was cut off.
    pub truncated: bool,
}

/// A text cannot be tokenized.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The folder has no `tokenizer.json`.
    #[error("`{}` has no `tokenizer.json`", folder.display())]
    Missing {
        /// The model's folder.
        folder: PathBuf,
    },
    /// The file does not open.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not a tokenizer.
    #[error("`{}` is not a tokenizer: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: tokenizers::Error,
    },
    /// The tokenizer fails on a text.
    #[error("the tokenizer fails on a text: {source}")]
    Encode {
        /// What the tokenizer says.
        source: tokenizers::Error,
    },
    /// The special tokens alone fill a row.
    #[error("{max_length} tokens leave no room for text beside {special} special tokens")]
    NoRoom {
        /// The most tokens of a row.
        max_length: usize,
        /// How many of them are special.
        special: usize,
    },
    /// No token stands for hidden ones.
    #[error("the tokenizer has no mask token")]
    NoMask,
    /// A row is longer than allowed.
    #[error("the row has {length} tokens, the limit is {max_length}")]
    TooLong {
        /// Its tokens, special ones included.
        length: usize,
        /// The most tokens of a row.
        max_length: usize,
    },
}

impl TokenizerError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => {
                "only `tokenizer.json` is read; with transformers, \
                 `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` writes it"
            }
            Self::Read { .. } => "check the path and its permissions",
            Self::Parse { .. } => "fetch the file again, or save it anew with transformers",
            Self::Encode { .. } => return None,
            Self::NoRoom { .. } => "raise the maximum length",
            Self::NoMask => {
                "take a model of the task `mask`, whose `tokenizer.json` has a special token \
                 `[MASK]` or `<mask>`"
            }
            Self::TooLong { .. } => {
                "give a larger `--max-length`, shorten the row, \
                 or let `truncation` be `right`, `left` or `drop`"
            }
        };
        Some(text.to_owned())
    }
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct TextTokenizer {
    texts: Tokenizer,
    words: OnceLock<Tokenizer>,
    notes: Vec<String>,
    highest_id: u32,
    digest: String,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` of a model's folder.
    ///
    /// Padding and truncation written into it are not used; a note says so.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let path = folder.join("tokenizer.json");
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => TokenizerError::Missing {
                folder: folder.to_owned(),
            },
            _ => TokenizerError::Read {
                path: path.clone(),
                source,
            },
        })?;
        Self::from_bytes(&bytes).map_err(|source| TokenizerError::Parse { path, source })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, tokenizers::Error> {
        let mut texts = Tokenizer::from_bytes(bytes)?;
        let mut notes = Vec::new();
        if let Some(truncation) = texts.get_truncation() {
            notes.push(format!(
                "`tokenizer.json` truncates to {} tokens; not used, the maximum length rules",
                truncation.max_length
            ));
        }
        if texts.get_padding().is_some() {
            notes.push("`tokenizer.json` pads; not used, batches are made here".to_owned());
        }
        texts.with_padding(None).with_truncation(None)?;
        let mut highest_id = texts.get_vocab(true).into_values().max().unwrap_or(0);
        // A template may name special tokens by ids of its own.
        for encoding in [texts.encode("", true)?, texts.encode(("", ""), true)?] {
            highest_id = encoding
                .get_ids()
                .iter()
                .copied()
                .fold(highest_id, u32::max);
        }
        Ok(Self {
            texts,
            words: OnceLock::new(),
            notes,
            highest_id,
            digest: digest(bytes),
        })
    }

    /// What was passed over in the file.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The highest id that a token can have, added tokens included.
    pub fn highest_id(&self) -> u32 {
        self.highest_id
    }

    /// The SHA-256 of its `tokenizer.json`, by which what is made with it is known again.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The special tokens that it puts before a text and after it.
    pub fn frame(&self) -> Result<[Vec<u32>; 2], TokenizerError> {
        let encoding = self.texts.encode("a", true);
        let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
        let (ids, mask) = (encoding.get_ids(), encoding.get_special_tokens_mask());
        let is_special = |mask: &&u32| **mask == 1;
        let before = mask.iter().take_while(is_special).count();
        let after = mask[before..].iter().rev().take_while(is_special).count();
        Ok([ids[..before].to_vec(), ids[ids.len() - after..].to_vec()])
    }

    /// Tokens of texts without special tokens around them, on all cores; each text has a result of its own.
    pub fn texts(&self, texts: &[&str]) -> Vec<Result<Vec<u32>, TokenizerError>> {
        let ids = |text: &&str| {
            // Offsets, which nobody wants here, are left out.
            let encoding = self.texts.encode_fast(*text, false);
            let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
            Ok(encoding.get_ids().to_vec())
        };
        texts.par_iter().map(ids).collect()
    }

    /// The tokenizer itself.
    pub(crate) fn inner(&self) -> &Tokenizer {
        &self.texts
    }

    /// The special tokens that it puts around a text and between two.
    pub(crate) fn frame_ids(&self) -> Result<Vec<u32>, TokenizerError> {
        let failed = |source| TokenizerError::Encode { source };
        let pair = self.texts.encode(("", ""), true).map_err(failed)?;
        let single = self.texts.encode("", true).map_err(failed)?;
        Ok([pair.get_ids(), single.get_ids()].concat())
    }

    /// The text of tokens, special ones included.
    pub fn decode(&self, ids: &[u32]) -> String {
        // An id without a token has no text; `highest_id` is checked against the model elsewhere.
        self.texts.decode(ids, false).unwrap_or_default()
    }

    /// Tokens of a text or a pair; none if the row is to be dropped.
    ///
    /// Of a pair, the longer text is cut first.
    pub fn encode(
        &self,
        input: &TextInput,
        limit: Limit,
    ) -> Result<Option<Encoded>, TokenizerError> {
        let (first, second) = match input {
            TextInput::Single(text) => (text, None),
            TextInput::Pair(text, other) => (text, Some(other)),
        };
        let first = bare(&self.texts, first.as_str())?;
        let second = second
            .map(|text| bare(&self.texts, text.as_str()))
            .transpose()?;
        let row = finish(&self.texts, first, second, limit)?;
        Ok(row.map(|(encoding, truncated)| Encoded {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            truncated,
        }))
    }

    /// Tokens of a list of words; none if the row is to be dropped.
    pub fn encode_words(
        &self,
        words: &[String],
        limit: Limit,
    ) -> Result<Option<EncodedWords>, TokenizerError> {
        let tokenizer = self.words.get_or_init(|| for_words(&self.texts));
        let encoding = bare(tokenizer, words)?;
        let row = finish(tokenizer, encoding, None, limit)?;
        Ok(row.map(|(encoding, truncated)| EncodedWords {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            words: words_of(&encoding),
            truncated,
        }))
    }

    /// [`Self::encode`] of many rows at once, on all cores; each row has a result of its own.
    pub fn encode_batch(
        &self,
        rows: &[&TextInput],
        limit: Limit,
    ) -> Vec<Result<Option<Encoded>, TokenizerError>> {
        rows.par_iter().map(|row| self.encode(row, limit)).collect()
    }

    /// [`Self::encode_words`] of many rows at once, on all cores; each row has a result of its own.
    pub fn encode_words_batch(
        &self,
        rows: &[&[String]],
        limit: Limit,
    ) -> Vec<Result<Option<EncodedWords>, TokenizerError>> {
        rows.par_iter()
            .map(|row| self.encode_words(row, limit))
            .collect()
    }
}

/// A tokenizer that marks the beginning of every word: that of `RoBERTa` takes words only in this
/// mode, since it would take each of them as the continuation of the one before.
fn for_words(tokenizer: &Tokenizer) -> Tokenizer {
    let mut tokenizer = tokenizer.clone();
    if let Some(PreTokenizerWrapper::ByteLevel(bytes)) = tokenizer.get_pre_tokenizer() {
        let mut bytes = *bytes;
        bytes.add_prefix_space = true;
        tokenizer.with_pre_tokenizer(Some(bytes));
    }
    tokenizer
}

/// The tokens of one sequence without special tokens.
fn bare<'s>(
    tokenizer: &Tokenizer,
    input: impl Into<InputSequence<'s>>,
) -> Result<Encoding, TokenizerError> {
    let encoded = tokenizer.encode(input.into(), false);
    encoded.map_err(|source| TokenizerError::Encode { source })
}

/// Cuts and joins sequences and adds special tokens; true if something was cut.
fn finish(
    tokenizer: &Tokenizer,
    first: Encoding,
    second: Option<Encoding>,
    limit: Limit,
) -> Result<Option<(Encoding, bool)>, TokenizerError> {
    let failed = |source| TokenizerError::Encode { source };
    let max_length = limit.max_length;
    let processor = tokenizer.get_post_processor();
    let special = processor.map_or(0, |processor| processor.added_tokens(second.is_some()));
    let Some(room) = max_length.checked_sub(special).filter(|room| *room > 0) else {
        return Err(TokenizerError::NoRoom {
            max_length,
            special,
        });
    };
    let length = first.len() + second.as_ref().map_or(0, Encoding::len);
    let truncated = length > room;
    let direction = match limit.truncation {
        Truncation::Drop if truncated => return Ok(None),
        Truncation::Error if truncated => {
            let length = length + special;
            return Err(TokenizerError::TooLong { length, max_length });
        }
        Truncation::Left => TruncationDirection::Left,
        _ => TruncationDirection::Right,
    };
    let params = TruncationParams {
        max_length: room,
        direction,
        ..TruncationParams::default()
    };
    let (first, second) = truncate_encodings(first, second, &params).map_err(failed)?;
    let encoding = tokenizer
        .post_process(first, second, true)
        .map_err(failed)?;
    Ok(Some((encoding, truncated)))
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn words_of(encoding: &Encoding) -> Vec<Option<usize>> {
    let words = encoding.get_word_ids().iter().copied();
    words.map(|word| word.map(|word| word as usize)).collect()
}
