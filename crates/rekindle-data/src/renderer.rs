//! From a prompt, a chat or an example to token ids: one way for training, evaluation and answering.
//!
//! A text begins with the tokens that the tokenizer puts before texts (one beginning-of-sequence token
//! at most) and ends with the end-of-sequence token. A chat is what the model's own template writes.
//! Nothing that a row holds becomes a special token, whatever it spells.

mod decoder;
mod encode;
mod error;
mod json;
mod marks;
mod settings;
mod template;
mod turns;

use std::ops::Range;
use std::path::Path;

use jiff::civil::Date;
use rayon::prelude::*;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use self::encode::{Encoder, Token};
use self::settings::Settings;
use self::template::ChatTemplate;
use self::turns::Chat;
use crate::tokenizer::digest;
use crate::{
    Content, GenerationExample, Limit, Message, TextTokenizer, TokenizerError, Truncation,
};

pub use self::decoder::Decoder;
pub use self::error::RenderError;
pub use self::settings::special_ids;

/// What became of an example.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendered {
    /// A row of tokens.
    Row {
        /// Token ids.
        ids: Vec<u32>,
        /// The weight of each token as a target; nothing predicts the first, so its weight is 0.
        weights: Vec<f32>,
        /// True if something was cut off.
        truncated: bool,
    },
    /// A row that is left out.
    Dropped(Dropped),
}

/// Why a row is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is longer than allowed.
    TooLong,
    /// Nothing to learn is in it, or was left of it when it was cut.
    NoTarget,
}

/// Makes token ids of texts and chats as a model was made for them.
#[derive(Debug)]
pub struct Renderer {
    tokenizer: Tokenizer,
    encoder: Encoder,
    template: ChatTemplate,
    /// Tokens before each text.
    prefix: Vec<u32>,
    bos: Option<u32>,
    /// All tokens that end an answer, the one that ends a text first.
    ends: Vec<u32>,
    /// That of the tokenizer with the names of its special tokens.
    digest: String,
}

/// Tokens with their weights, before they are cut to length.
struct Draft {
    ids: Vec<u32>,
    weights: Vec<f32>,
    is_target: Vec<bool>,
}

impl Renderer {
    /// Reads what a model's folder says beside its tokenizer.
    pub fn open(folder: &Path, tokenizer: &TextTokenizer) -> Result<Self, RenderError> {
        let config = settings::object(&folder.join("config.json"))?;
        Self::with_config(folder, tokenizer, &config)
    }

    /// Reads what a tokenizer's folder says beside it; the model's `config.json` is given.
    pub fn with_config(
        folder: &Path,
        tokenizer: &TextTokenizer,
        config: &Map<String, Value>,
    ) -> Result<Self, RenderError> {
        let file = tokenizer.digest();
        let tokenizer = tokenizer.inner().clone();
        let settings = Settings::read(folder, &tokenizer, config)?;
        let named = settings.named.iter().map(|(_, token)| token);
        let named: Vec<_> = named.map(|token| (token.text.clone(), token.id)).collect();
        let unknown = settings.special("unk_token").map(|token| token.id);
        let encoder = Encoder::new(&tokenizer, &named, unknown);
        let digest = digest(format!("{file} {}", encoder.names()).as_bytes());
        let template = ChatTemplate::new(&settings)?;
        let bos = settings.special("bos_token").map(|token| token.id);
        let prefix = match (settings.adds_bos, bos) {
            (Some(true), Some(bos)) => vec![bos],
            (Some(false), _) => Vec::new(),
            _ => prefix(&tokenizer)?,
        };
        let mut ends = settings.ends;
        let turn_end = turns::turn_end(&template, &encoder);
        ends.extend(turn_end.filter(|id| !ends.contains(id)));
        Ok(Self {
            tokenizer,
            encoder,
            template,
            prefix,
            bos,
            ends,
            digest,
        })
    }

    /// The tokens of an example and their weights as targets.
    ///
    /// A text is all target. Prompt and completion are tokenized as one text; a token of which any part
    /// lies in the completion is a target, also one that begins in the prompt. Of a chat, each message of
    /// the assistant is a target from where the prompt for it ends to the token that ends it, unless its
    /// weight is 0. Targets weigh 1, what is given `prompt_loss_weight`. The end-of-sequence token after
    /// a text or a completion is a target always, after a chat if its template ends with none.
    ///
    /// A row that is too long loses its end, or its beginning behind the beginning-of-sequence token, or
    /// is dropped; one without any target is dropped.
    pub fn example(
        &self,
        example: &GenerationExample,
        limit: Limit,
        prompt_loss_weight: f64,
    ) -> Result<Rendered, RenderError> {
        let given = prompt_loss_weight as f32;
        let draft = match &example.content {
            Content::Text(text) => self.completion("", text, given)?,
            Content::Completion { prompt, completion } => {
                self.completion(prompt, completion, given)?
            }
            Content::Chat { messages, tools } => {
                self.conversation(messages, tools.as_ref(), given)?
            }
        };
        self.cut(draft, limit)
    }

    /// [`Self::example`] of many examples at once, on all cores; each has a result of its own.
    pub fn examples(
        &self,
        examples: &[&GenerationExample],
        limit: Limit,
        prompt_loss_weight: f64,
    ) -> Vec<Result<Rendered, RenderError>> {
        examples
            .par_iter()
            .map(|example| self.example(example, limit, prompt_loss_weight))
            .collect()
    }

    /// Of each example, the first special token that its texts spell; it stays text.
    pub fn spelled(&self, examples: &[&GenerationExample]) -> Vec<Option<String>> {
        let spelled = |example: &&GenerationExample| {
            let token = self.encoder.spelled(&example.text())?;
            Some(token.to_owned())
        };
        examples.par_iter().map(spelled).collect()
    }

    /// The tokens of a prompt, as they were in training.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, RenderError> {
        let tokens = self.encoder.plain(text)?;
        Ok(self.prefixed(&tokens))
    }

    /// Tokens of texts without those before and after them, on all cores; each text has a result of its own.
    pub fn texts(&self, texts: &[&str]) -> Vec<Result<Vec<u32>, RenderError>> {
        texts
            .par_iter()
            .map(|text| self.encoder.ids(text))
            .collect()
    }

    /// The tokens before each text and the one after it.
    pub fn frame(&self) -> (&[u32], u32) {
        (&self.prefix, self.ends[0])
    }

    /// A SHA-256 of all that decides the tokens of a text, by which what is made of them is known again.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The tokens of a chat that the model is to answer.
    pub fn chat(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
    ) -> Result<Vec<u32>, RenderError> {
        let chat = Chat::new(&self.template, &self.encoder, messages, tools)?;
        let tokens = self.encoder.rendered(&chat.prompt()?)?;
        Ok(self.of_template(&tokens))
    }

    /// The tokens at which an answer ends.
    pub fn end_ids(&self) -> &[u32] {
        &self.ends
    }

    /// The text of tokens without the special ones.
    pub fn decode(&self, ids: &[u32]) -> String {
        decoder::decode(&self.tokenizer, ids)
    }

    /// Turns the answer to a prompt into text while it is being written.
    pub fn decoder(&self, prompt: &[u32]) -> Decoder<'_> {
        Decoder::new(&self.tokenizer, prompt)
    }

    /// Whether the model came with a chat template of its own.
    pub fn has_chat_template(&self) -> bool {
        !self.template.is_plain
    }

    /// Whether the chat template writes the day.
    pub fn asks_for_date(&self) -> bool {
        self.template.asks_for_date
    }

    /// Lets the chat template write this day from here on, in place of today.
    pub fn fix_date(&mut self, date: Date) {
        self.template.fix_date(date);
    }

    fn completion(&self, prompt: &str, completion: &str, given: f32) -> Result<Draft, RenderError> {
        let text = format!("{prompt}{completion}");
        let tokens = self.encoder.plain(&text)?;
        let target = prompt.len()..text.len();
        let mut draft = Draft::new(self.prefixed(&tokens), given);
        draft.aim(&tokens, &[target], self.prefix.len());
        draft.push_target(self.ends[0]);
        Ok(draft)
    }

    fn conversation(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        given: f32,
    ) -> Result<Draft, RenderError> {
        let chat = Chat::new(&self.template, &self.encoder, messages, tools)?;
        let written = chat.trace(&self.ends)?;
        let tokens = self.encoder.rendered(&written.text)?;
        let ids = self.of_template(&tokens);
        let shift = ids.len() - tokens.len();
        let mut draft = Draft::new(ids, given);
        draft.silence(&tokens, &written.passed, shift);
        draft.aim(&tokens, &written.targets, shift);
        if written.is_open {
            draft.push_target(self.ends[0]);
        }
        Ok(draft)
    }

    /// What a template wrote; the plain one leaves the beginning to the tokenizer.
    fn of_template(&self, tokens: &[Token]) -> Vec<u32> {
        if self.template.is_plain {
            self.prefixed(tokens)
        } else {
            tokens.iter().map(|token| token.id).collect()
        }
    }

    fn prefixed(&self, tokens: &[Token]) -> Vec<u32> {
        let ids = tokens.iter().map(|token| token.id);
        self.prefix.iter().copied().chain(ids).collect()
    }

    fn cut(&self, mut draft: Draft, limit: Limit) -> Result<Rendered, RenderError> {
        let (length, max_length) = (draft.ids.len(), limit.max_length);
        let truncated = length > max_length;
        if truncated {
            match limit.truncation {
                Truncation::Drop => return Ok(Rendered::Dropped(Dropped::TooLong)),
                Truncation::Error => return Err(RenderError::TooLong { length, max_length }),
                Truncation::Right => draft.remove(max_length..length),
                Truncation::Left => {
                    let kept = self.beginning(&draft.ids).min(max_length);
                    draft.remove(kept..kept + length - max_length);
                }
            }
        }
        Ok(draft.finish(truncated))
    }

    /// How many tokens stay where the beginning is cut off.
    fn beginning(&self, ids: &[u32]) -> usize {
        if !self.prefix.is_empty() && ids.starts_with(&self.prefix) {
            self.prefix.len()
        } else {
            usize::from(self.bos.is_some() && ids.first() == self.bos.as_ref())
        }
    }
}

impl Draft {
    fn new(ids: Vec<u32>, given: f32) -> Self {
        Self {
            weights: vec![given; ids.len()],
            is_target: vec![false; ids.len()],
            ids,
        }
    }

    /// Makes targets of the tokens in these ranges.
    fn aim(&mut self, tokens: &[Token], targets: &[Range<usize>], shift: usize) {
        for index in within(tokens, targets) {
            self.weights[shift + index] = 1.0;
            self.is_target[shift + index] = true;
        }
    }

    /// Takes all weight from the tokens in these ranges.
    fn silence(&mut self, tokens: &[Token], passed: &[Range<usize>], shift: usize) {
        for index in within(tokens, passed) {
            self.weights[shift + index] = 0.0;
        }
    }

    fn push_target(&mut self, id: u32) {
        self.ids.push(id);
        self.weights.push(1.0);
        self.is_target.push(true);
    }

    fn remove(&mut self, tokens: Range<usize>) {
        self.ids.drain(tokens.clone());
        self.weights.drain(tokens.clone());
        self.is_target.drain(tokens);
    }

    fn finish(mut self, truncated: bool) -> Rendered {
        if let Some(first) = self.weights.first_mut() {
            *first = 0.0;
            self.is_target[0] = false;
        }
        if !self.is_target.contains(&true) {
            return Rendered::Dropped(Dropped::NoTarget);
        }
        Rendered::Row {
            ids: self.ids,
            weights: self.weights,
            truncated,
        }
    }
}

/// The tokens of which any part lies in one of the ranges.
fn within(tokens: &[Token], ranges: &[Range<usize>]) -> Vec<usize> {
    let is_within = |token: &Token| {
        ranges.iter().any(|range| {
            let begins = token.bytes.start >= range.start && token.bytes.start < range.end;
            begins || (token.bytes.start < range.start && token.bytes.end > range.start)
        })
    };
    let all = tokens.iter().enumerate();
    all.filter(|(_, token)| is_within(token))
        .map(|(index, _)| index)
        .collect()
}

/// The tokens that a tokenizer puts before a text.
fn prefix(tokenizer: &Tokenizer) -> Result<Vec<u32>, RenderError> {
    let encoding = tokenizer.encode("a", true);
    let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
    let tokens = encoding
        .get_ids()
        .iter()
        .zip(encoding.get_special_tokens_mask());
    let before = tokens.take_while(|(_, special)| **special == 1);
    Ok(before.map(|(id, _)| *id).collect())
}
