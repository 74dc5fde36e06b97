//! What the tokens of a vocabulary are to one who hides them: special, beginnings of words, or parts.

use tokenizers::{Model, ModelWrapper, Tokenizer};

use crate::{TextTokenizer, TokenizerError};

/// Names that mask tokens have.
const MASK_NAMES: [&str; 2] = ["[MASK]", "<mask>"];

/// Marks of a space before a token: of byte-level BPE, and of `SentencePiece`.
const SPACE_MARKS: [char; 2] = ['Ġ', '▁'];

/// The tokens of a tokenizer, by what they are.
#[derive(Clone, Debug)]
pub struct MaskVocabulary {
    mask: u32,
    /// By id; ids without a token are special.
    forms: Vec<Form>,
    /// The ids that are not special.
    ordinary: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Special,
    /// Begins a word.
    Beginning,
    /// Goes on with the word before it.
    Continuation,
    /// Stands for itself, and ends the word before it.
    Punctuation,
}

impl MaskVocabulary {
    /// The vocabulary of a tokenizer that has a mask token.
    ///
    /// Where words begin is told by the tokens themselves: by `##` (or another prefix) before
    /// continuations, or by the mark of a space before beginnings; there ASCII punctuation stands alone.
    /// In a vocabulary without either, each token is a word.
    ///
    /// # Errors
    /// If none of its special tokens is `[MASK]` or `<mask>`.
    pub fn of(tokenizer: &TextTokenizer) -> Result<Self, TokenizerError> {
        let inner = tokenizer.inner();
        let mut forms = vec![Form::Special; tokenizer.highest_id() as usize + 1];
        let marks = Marks::of(inner);
        for (token, id) in inner.get_vocab(true) {
            forms[id as usize] = marks.form(&token);
        }
        let added = inner.get_added_tokens_decoder();
        let mut mask = None;
        for (id, token) in added.iter().filter(|(_, token)| token.special) {
            forms[*id as usize] = Form::Special;
            if MASK_NAMES.contains(&token.content.as_str()) {
                mask = Some(*id);
            }
        }
        for id in tokenizer.frame_ids()? {
            forms[id as usize] = Form::Special;
        }
        let ids = (0..).zip(&forms);
        let ordinary = ids.filter(|(_, form)| **form != Form::Special);
        Ok(Self {
            mask: mask.ok_or(TokenizerError::NoMask)?,
            ordinary: ordinary.map(|(id, _)| id).collect(),
            forms,
        })
    }

    /// The token that stands for hidden ones.
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// The tokens that are not special, in order.
    pub fn ordinary(&self) -> &[u32] {
        &self.ordinary
    }

    /// Whether a token says nothing of a text.
    pub fn is_special(&self, id: u32) -> bool {
        self.form(id) == Form::Special
    }

    /// For each token, whether a word begins with it; a special token is a word.
    pub fn word_starts(&self, ids: &[u32]) -> Vec<bool> {
        let mut before = Form::Special;
        let starts = ids.iter().map(|&id| {
            let form = self.form(id);
            let is_inside = matches!(before, Form::Beginning | Form::Continuation);
            before = form;
            !(is_inside && form == Form::Continuation)
        });
        starts.collect()
    }

    fn form(&self, id: u32) -> Form {
        let form = self.forms.get(id as usize);
        form.copied().unwrap_or(Form::Special)
    }
}

/// How a vocabulary tells where words begin.
enum Marks {
    /// What continuations begin with.
    Continuation(String),
    /// What beginnings begin with.
    Space(char),
    /// Every token is a word.
    None,
}

impl Marks {
    fn of(tokenizer: &Tokenizer) -> Self {
        match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => {
                Self::Continuation(model.continuing_subword_prefix.clone())
            }
            ModelWrapper::WordLevel(_) => Self::None,
            model => {
                let vocabulary = model.get_vocab();
                let count = |mark: char| {
                    let tokens = vocabulary.keys();
                    tokens.filter(|token| token.starts_with(mark)).count()
                };
                let counts = SPACE_MARKS.map(|mark| (count(mark), mark));
                match counts.into_iter().max() {
                    Some((count, mark)) if count > 0 => Self::Space(mark),
                    _ => Self::None,
                }
            }
        }
    }

    fn form(&self, token: &str) -> Form {
        let is_punctuation = |c: char| c.is_ascii_punctuation();
        match self {
            Self::Continuation(prefix) if token.starts_with(prefix) && token != prefix => {
                Form::Continuation
            }
            Self::Space(mark) => match token.strip_prefix(*mark) {
                Some(rest) if rest.starts_with(is_punctuation) => Form::Punctuation,
                Some(_) => Form::Beginning,
                None if token.starts_with(is_punctuation) => Form::Punctuation,
                None => Form::Continuation,
            },
            Self::Continuation(_) | Self::None => Form::Beginning,
        }
    }
}
