//! A new tokenizer, made from texts: `WordPiece` as BERT has it, or byte-level BPE as GPT-2 has it.
//!
//! The `tokenizers` crate finds the pieces. Its result depends on the order of a hash map where ids are made
//! on the way, so the alphabet is settled here before: the same texts give the same file.

mod build;
mod error;
mod files;
mod words;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer;

pub use error::VocabularyError;

/// The form of a tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerKind {
    /// Pieces of words; what follows the first piece of a word is marked with `##`.
    WordPiece,
    /// Pairs of bytes, merged; a space belongs to the word after it, and every text can be read.
    Bpe,
}

/// What a new tokenizer is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerRecipe {
    /// Its form.
    pub kind: TokenizerKind,
    /// The most tokens, special ones and the alphabet included.
    pub vocab_size: usize,
    /// How often two pieces must stand together to become one.
    pub min_frequency: u64,
    /// Whether capital letters are made small; of word pieces accents go, too.
    pub is_lowercase: bool,
    /// Special tokens: of word pieces besides those of BERT, else in place of `<|endoftext|>`.
    pub special: Vec<String>,
    /// The most tokens of a row, as the tokenizer's files name it.
    pub max_length: usize,
}

/// A tokenizer that was made, and what of.
#[derive(Debug)]
pub struct NewTokenizer {
    /// Its tokens.
    pub tokens: usize,
    /// Texts that were read.
    pub texts: u64,
    /// Different words in them.
    pub words: usize,
    tokenizer: Tokenizer,
    /// `tokenizer_config.json` and `special_tokens_map.json`.
    settings: [(&'static str, Value); 2],
}

impl TokenizerRecipe {
    /// A tokenizer of a form and a size, with the settings that most have.
    pub fn new(kind: TokenizerKind, vocab_size: usize) -> Self {
        let (is_lowercase, max_length) = match kind {
            TokenizerKind::WordPiece => (true, 512),
            TokenizerKind::Bpe => (false, 1024),
        };
        Self {
            kind,
            vocab_size,
            min_frequency: 2,
            is_lowercase,
            special: Vec::new(),
            max_length,
        }
    }

    /// Makes the tokenizer from texts, which are read once and not kept; only their different words are.
    ///
    /// # Errors
    /// The first error of `texts`; or if they hold no word, or the vocabulary has no room for the alphabet.
    pub fn train<E: From<VocabularyError>>(
        &self,
        texts: impl IntoIterator<Item = Result<String, E>>,
    ) -> Result<NewTokenizer, E> {
        let special = self.special_tokens()?;
        let mut rules = build::rules(self);
        let counted = words::count(&rules, texts)?;
        let model = build::model(self, &special, &counted)?;
        build::complete(self, &mut rules, model, &special)?;
        Ok(NewTokenizer {
            tokens: rules.get_vocab_size(true),
            texts: counted.texts,
            words: counted.words.len(),
            settings: files::settings(self, &special),
            tokenizer: rules,
        })
    }

    /// All special tokens, in the order of their ids.
    fn special_tokens(&self) -> Result<Vec<String>, VocabularyError> {
        let own: &[&str] = match self.kind {
            TokenizerKind::WordPiece => &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
            TokenizerKind::Bpe if self.special.is_empty() => &["<|endoftext|>"],
            TokenizerKind::Bpe => &[],
        };
        let mut all: Vec<String> = Vec::new();
        for token in own
            .iter()
            .copied()
            .chain(self.special.iter().map(String::as_str))
        {
            if token.trim().is_empty() || all.iter().any(|known| known == token) {
                return Err(VocabularyError::Special(token.to_owned()));
            }
            all.push(token.to_owned());
        }
        Ok(all)
    }
}

impl NewTokenizer {
    /// Refuses a folder that holds something; to be asked before the work is done.
    pub fn check_folder(folder: &Path) -> Result<(), VocabularyError> {
        files::check_folder(folder)
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into a new or empty folder.
    pub fn save(&self, folder: &Path) -> Result<Vec<PathBuf>, VocabularyError> {
        files::save(&self.tokenizer, &self.settings, folder)
    }
}
