//! Texts to token ids such that only what is written on purpose becomes a special token.
//!
//! The tokenizer's special tokens are given names that no text can hold. A text that spells `</s>` is
//! then a text like any other, and a special token is written by its new name.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, AddedVocabulary, PostProcessorWrapper, Tokenizer};

use super::RenderError;
use crate::TokenizerError;

/// Stands inside a text that spells a special token, and keeps it from being one.
const BREAK: char = '\u{fdd0}';
/// Encloses the new name of a special token.
const NAME: char = '\u{fdd1}';
/// Stands where a message begins, to find it in what a template writes.
pub(super) const MARK_BEGIN: char = '\u{fdd2}';
/// Stands where a message ends.
pub(super) const MARK_END: char = '\u{fdd3}';
/// The first of sixteen digits, by which a mark tells its message.
pub(super) const DIGIT: char = '\u{fde0}';

/// A token and the bytes of the text that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) bytes: Range<usize>,
}

/// A tokenizer whose special tokens have names that no text holds.
#[derive(Debug)]
pub(super) struct Encoder {
    tokenizer: Tokenizer,
    /// Name and id of each special token, the longest name first.
    specials: Vec<(String, u32)>,
    /// What they begin with: most characters of a text begin none.
    begins: BTreeSet<u8>,
    /// The true id of each added token.
    ids: HashMap<u32, u32>,
    /// The token for what the vocabulary lacks: no text is to blame for it.
    unknown: Option<u32>,
}

impl Encoder {
    /// Renames the special tokens of a tokenizer, and these tokens too.
    pub(super) fn new(tokenizer: &Tokenizer, also: &[(String, u32)], unknown: Option<u32>) -> Self {
        let mut added: Vec<(u32, AddedToken)> =
            tokenizer.get_added_tokens_decoder().into_iter().collect();
        for (name, id) in also {
            match added.iter_mut().find(|(_, token)| token.content == *name) {
                Some((_, token)) => token.special = true,
                None => added.push((*id, AddedToken::from(name.clone(), true))),
            }
        }
        added.sort_by_key(|(id, _)| *id);
        let (mut specials, mut renamed) = (Vec::new(), Vec::new());
        for (id, token) in &added {
            let mut token = token.clone();
            // One character cannot be kept apart from its name.
            if token.special && token.content.chars().count() > 1 {
                specials.push((token.content, *id));
                token.content = name(*id);
                // What a normalizer makes of its own name would not be found.
                token.normalized = false;
            }
            renamed.push(token);
        }
        specials.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut vocabulary = AddedVocabulary::new();
        vocabulary.add_tokens(&renamed, tokenizer.get_model(), tokenizer.get_normalizer());
        let mut tokenizer = tokenizer.clone();
        tokenizer.with_added_vocabulary(vocabulary);
        // It would cut white space off the offsets of tokens.
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        let ids = added
            .iter()
            .zip(&renamed)
            .filter_map(|((id, _), token)| Some((tokenizer.token_to_id(&token.content)?, *id)))
            .collect();
        let begins = specials.iter().filter_map(|(name, _)| name.bytes().next());
        Self {
            tokenizer,
            begins: begins.collect(),
            specials,
            ids,
            unknown,
        }
    }
}

impl Encoder {
    /// The tokens of a text in which nothing is a special token.
    pub(super) fn plain(&self, text: &str) -> Result<Vec<Token>, RenderError> {
        Self::refuse_noncharacters(text)?;
        self.encode(text)
    }

    /// The ids of [`Self::plain`] alone, in less memory.
    pub(super) fn ids(&self, text: &str) -> Result<Vec<u32>, RenderError> {
        Self::refuse_noncharacters(text)?;
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
        let ids = encoding.get_ids().iter();
        ids.map(|id| self.true_id(*id)).collect()
    }

    /// The names and ids of the special tokens, in a fixed order.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<_> = self.specials.iter().map(|(name, id)| (id, name)).collect();
        names.sort_unstable();
        format!("{names:?}")
    }

    /// The tokens of what a template wrote of guarded texts; bytes are those of `rendered`.
    pub(super) fn rendered(&self, rendered: &str) -> Result<Vec<Token>, RenderError> {
        let (mut text, mut origins) = (String::with_capacity(rendered.len()), Vec::new());
        let mut write = |part: &str, from: usize, is_whole: bool| {
            text.push_str(part);
            origins.extend((0..part.len()).map(|byte| from + if is_whole { 0 } else { byte }));
        };
        let mut at = 0;
        while let Some(character) = rendered[at..].chars().next() {
            if let Some((special, id)) = self.special_at(&rendered[at..]) {
                write(&name(id), at, true);
                at += special.len();
                continue;
            }
            if character != BREAK {
                write(&rendered[at..at + character.len_utf8()], at, false);
            }
            at += character.len_utf8();
        }
        origins.push(rendered.len());
        let mut tokens = self.encode(&text)?;
        for token in &mut tokens {
            token.bytes = origins[token.bytes.start]..origins[token.bytes.end];
        }
        Ok(tokens)
    }

    /// A text for a template, in which nothing is a special token.
    pub(super) fn guard(&self, text: &str) -> Result<String, RenderError> {
        Self::refuse_noncharacters(text)?;
        let mut guarded = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            guarded.push(character);
            if self.special_at(&text[at..]).is_some() {
                guarded.push(BREAK);
            }
        }
        Ok(guarded)
    }

    /// [`Self::guard`] of all texts in a value, names included.
    pub(super) fn guard_value(&self, value: &Value) -> Result<Value, RenderError> {
        Ok(match value {
            Value::String(text) => Value::String(self.guard(text)?),
            Value::Array(items) => {
                let items = items.iter().map(|item| self.guard_value(item));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut guarded = Map::new();
                for (name, value) in fields {
                    guarded.insert(self.guard(name)?, self.guard_value(value)?);
                }
                Value::Object(guarded)
            }
            other => other.clone(),
        })
    }

    /// The special tokens that a template wrote, with their places.
    pub(super) fn specials_in(&self, rendered: &str) -> Vec<(u32, Range<usize>)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(character) = rendered[at..].chars().next() {
            if let Some((special, id)) = self.special_at(&rendered[at..]) {
                found.push((id, at..at + special.len()));
                at += special.len();
            } else {
                at += character.len_utf8();
            }
        }
        found
    }

    /// The first special token that a text spells.
    pub(super) fn spelled(&self, text: &str) -> Option<&str> {
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.find_map(|at| Some(self.special_at(&text[at..])?.0))
    }

    /// The longest special token that a text begins with.
    fn special_at(&self, text: &str) -> Option<(&str, u32)> {
        let begin = text.as_bytes().first()?;
        if !self.begins.contains(begin) {
            return None;
        }
        let mut specials = self.specials.iter();
        let found = specials.find(|(special, _)| text.starts_with(special.as_str()));
        found.map(|(special, id)| (special.as_str(), *id))
    }

    fn refuse_noncharacters(text: &str) -> Result<(), RenderError> {
        match text
            .chars()
            .find(|c| (BREAK..=MARK_END).contains(c) || (DIGIT..='\u{fdef}').contains(c))
        {
            Some(character) => Err(RenderError::Noncharacter { character }),
            None => Ok(()),
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<Token>, RenderError> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|source| TokenizerError::Encode { source })?;
        let token = |(found, bytes): (&u32, &(usize, usize))| {
            let id = self.true_id(*found)?;
            let bytes = bytes.0..bytes.1;
            Ok(Token { id, bytes })
        };
        encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .map(token)
            .collect()
    }

    /// The id of a token in the model's own vocabulary.
    fn true_id(&self, found: u32) -> Result<u32, RenderError> {
        if let Some(id) = self.ids.get(&found) {
            return Ok(*id);
        }
        let spelled = |(_, id): &&(String, u32)| *id == found && Some(*id) != self.unknown;
        match self.specials.iter().find(spelled) {
            Some((token, _)) => Err(RenderError::Unescapable {
                token: token.clone(),
            }),
            None => Ok(found),
        }
    }
}

/// The new name of a special token.
fn name(id: u32) -> String {
    format!("{NAME}{id}{NAME}")
}
