//! A batch of prompts, answered.

use std::ops::ControlFlow;

use rekindle_data::Renderer;
use rekindle_nn::{CausalLm, TrainBackend};

use crate::batch::Batch;
use crate::row::Row;
use crate::{GenerateError, Sampling};

/// A model that writes.
pub struct Engine<'a, B: TrainBackend, M> {
    /// The model.
    pub model: &'a M,
    /// Where it is.
    pub device: &'a B::Device,
    /// Tokens that the model can read, prompt and answer together.
    pub positions: usize,
    /// Knows the text of tokens, and those that end an answer.
    pub renderer: &'a Renderer,
    /// How it writes.
    pub options: &'a Options,
}

/// How answers are written, and where they end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Texts that end an answer; they are cut off.
    pub stop: Vec<String>,
}

/// What is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Its number among all prompts, a part of the key of its draws.
    pub number: u64,
    /// Tokens of the answer, at most.
    pub max_tokens: usize,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its text, without what ended it.
    pub text: String,
    /// All tokens that were written: an end token too, and those of a stop string.
    pub ids: Vec<u32>,
    /// Why it ends.
    pub end: End,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model wrote an end token.
    Token,
    /// It has as many tokens as were asked for.
    Length,
    /// A stop string came.
    StopString,
    /// It was cancelled.
    Cancelled,
}

/// Text of an answer that will not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Index of the prompt.
    pub row: usize,
    /// The text; empty if a token made none certain.
    pub text: &'a str,
}

/// Follows the answers, a call for each token, and may break off all that are not complete.
pub type Watch<'a> = dyn FnMut(Piece<'_>) -> ControlFlow<()> + 'a;

impl End {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Length => "length",
            Self::StopString => "stop",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Options {
    /// Whether answers can be written in this way.
    pub fn check(&self) -> Result<(), GenerateError> {
        if self.stop.iter().any(String::is_empty) {
            return Err(GenerateError::EmptyStop);
        }
        self.sampling.check()
    }
}

impl Prompt {
    /// Whether a model that reads so many tokens can answer it.
    pub fn check(&self, positions: usize) -> Result<(), GenerateError> {
        let (prompt, answer) = (self.ids.len(), self.max_tokens);
        match () {
            () if prompt == 0 => Err(GenerateError::EmptyPrompt),
            () if answer == 0 => Err(GenerateError::NoTokens),
            () if prompt.saturating_add(answer) > positions => Err(GenerateError::TooLong {
                prompt,
                answer,
                most: positions,
            }),
            () => Ok(()),
        }
    }
}

impl<B: TrainBackend, M: CausalLm<B>> Engine<'_, B, M> {
    /// Answers a batch of prompts, each with an answer at its index.
    ///
    /// Rows are padded on the left to the longest prompt. Those that have ended are taken out: copying what
    /// the others have read costs about as much as one attention over it.
    pub fn answer(
        &self,
        prompts: &[Prompt],
        watch: &mut Watch,
    ) -> Result<Vec<Answer>, GenerateError> {
        self.options.check()?;
        for prompt in prompts {
            prompt.check(self.positions)?;
        }
        let row = |prompt| Row::new(prompt, self.renderer, self.options);
        let mut rows: Vec<Row> = prompts.iter().map(row).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.write(prompts, &mut rows, watch)?.is_break() {
            for row in &mut rows {
                row.finish(End::Cancelled);
            }
        }
        Ok(rows.into_iter().map(Row::into_answer).collect())
    }

    fn write(
        &self,
        prompts: &[Prompt],
        rows: &mut [Row],
        watch: &mut Watch,
    ) -> Result<ControlFlow<()>, GenerateError> {
        let ids: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.ids.as_slice()).collect();
        let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
        let longest = |values: &mut dyn Iterator<Item = usize>| values.max().unwrap_or(0);
        let width = longest(&mut lengths.iter().copied());
        let answer = longest(&mut prompts.iter().map(|prompt| prompt.max_tokens));
        // The last token of an answer is not read any more.
        let columns = width + answer - 1;
        let mut batch = Batch::new(self.model, &lengths, columns, self.device);
        // The rows of the batch, by their index among all.
        let mut members: Vec<usize> = (0..rows.len()).collect();
        let mut logits = batch.read_prompts(&ids);
        loop {
            for (&row, logits) in members.iter().zip(logits) {
                let text = rows[row].write(logits)?;
                if watch(Piece { row, text: &text }).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let going = (0..members.len()).filter(|&member| !rows[members[member]].has_ended());
            let going: Vec<usize> = going.collect();
            if going.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            if going.len() < members.len() {
                batch.keep(&going);
                members = going.into_iter().map(|member| members[member]).collect();
            }
            let lasts: Vec<u32> = members.iter().map(|&row| rows[row].last()).collect();
            logits = batch.read(&lasts);
        }
    }
}
