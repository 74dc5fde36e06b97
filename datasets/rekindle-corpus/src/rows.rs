//! Rows over a store, made when they are asked for.

mod blocks;
mod held_out;
mod sentences;

use std::sync::Arc;

use crate::error::CorpusError;
use crate::store::TokenStore;

use blocks::Blocks;
use held_out::Part;
use sentences::Sentences;

/// How many rows are held out at most where nothing else is asked for.
pub const HELD_OUT: usize = 1000;

/// Rows of tokens over a store, by their index; of the tokens none is in memory.
#[derive(Clone, Debug)]
pub struct TextRows {
    shape: Shape,
    part: Part,
}

#[derive(Clone, Debug)]
enum Shape {
    Blocks(Blocks),
    Sentences(Sentences),
}

impl TextRows {
    /// Blocks for a language model that predicts the next token.
    ///
    /// All documents make one stream, each between the tokens that its model puts before and after a text, as
    /// `<s> document </s> <s> document </s>`. It is cut into blocks of `max_length` tokens and nothing is
    /// dropped; the last block is shorter. A last block of one token would have nothing to predict, and gets
    /// another one from the block before. What a block predicts is each of its tokens but the first.
    pub fn causal_blocks(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        Blocks::causal(store, max_length).map(Self::of_blocks)
    }

    /// Blocks for a language model that fills in masked tokens.
    ///
    /// All documents make one stream with the separator between them, as `document [SEP] document`. It is cut
    /// into pieces and nothing is dropped; each piece is framed by the tokenizer's special tokens, as
    /// `[CLS] piece [SEP]`, and has `max_length` tokens with them, the last one fewer.
    pub fn masked_blocks(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        Blocks::masked(store, max_length).map(Self::of_blocks)
    }

    /// Each document as a row of its own, framed by the tokenizer's special tokens and cut at `max_length`, which
    /// is 65,535 at most.
    pub fn sentences(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        let sentences = Sentences::new(store, max_length)?;
        Ok(Self {
            part: Part::all(sentences.len()),
            shape: Shape::Sentences(sentences),
        })
    }

    fn of_blocks(blocks: Blocks) -> Self {
        Self {
            part: Part::all(blocks.len()),
            shape: Shape::Blocks(blocks),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of a row among those of the whole store, from 0; a part keeps the numbers of its rows.
    ///
    /// # Panics
    /// If there is no such row, as the other functions of an index.
    pub fn number(&self, index: usize) -> usize {
        self.part.number(index)
    }

    /// How many tokens a row has, special ones included.
    pub fn length(&self, index: usize) -> usize {
        let number = self.number(index);
        match &self.shape {
            Shape::Blocks(blocks) => blocks.length(number),
            Shape::Sentences(sentences) => sentences.length(number),
        }
    }

    /// The tokens of a row, special ones included.
    pub fn ids(&self, index: usize) -> Result<Vec<u32>, CorpusError> {
        let number = self.number(index);
        match &self.shape {
            Shape::Blocks(blocks) => blocks.ids(number),
            Shape::Sentences(sentences) => sentences.ids(number),
        }
    }

    /// How many documents of the whole store are cut; blocks cut none.
    pub fn truncated(&self) -> usize {
        match &self.shape {
            Shape::Blocks(_) => 0,
            Shape::Sentences(sentences) => sentences.truncated(),
        }
    }

    /// The store that the rows are over.
    pub fn store(&self) -> &Arc<TokenStore> {
        match &self.shape {
            Shape::Blocks(blocks) => blocks.store(),
            Shape::Sentences(sentences) => sentences.store(),
        }
    }

    /// Rows to learn from and rows held out: `round(fraction * n)` of these rows, `most` at most, chosen by the
    /// seed. At least one is held out if `fraction` is positive, and one stays to learn from.
    #[must_use]
    pub fn hold_out(&self, fraction: f64, most: usize, seed: u64) -> [Self; 2] {
        self.part.split(fraction, most, seed).map(|part| Self {
            shape: self.shape.clone(),
            part,
        })
    }
}
