//! What a task needs of a model.

use burn::module::Module;
use burn::tensor::{Int, Tensor, backend::Backend};

use crate::{Heads, LayerCache, Linear, ParameterPath, Place, Rows, Slots, TrainBackend};

/// The tokens of a batch, one per slot of its [`Rows`].
#[derive(Clone, Debug)]
pub struct Input<B: Backend> {
    /// Token ids, `[N]`.
    pub ids: Tensor<B, 1, Int>,
    /// Segment of each token (0 or 1), `[N]`; models without segments ignore it.
    pub type_ids: Tensor<B, 1, Int>,
    /// What the lowest blocks make of the tokens, where that is known already.
    pub stem: Option<Stem<B>>,
}

/// States after the lowest blocks, from which a model goes on.
#[derive(Clone, Debug)]
pub struct Stem<B: Backend> {
    /// How many blocks they have passed.
    pub blocks: usize,
    /// `[N, D]`.
    pub states: Tensor<B, 2>,
}

impl<B: Backend> Input<B> {
    /// Moves tokens to a device.
    pub fn new(ids: &[u32], type_ids: &[u32], device: &B::Device) -> Self {
        let tensor = |ids: &[u32]| {
            let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
            Tensor::from_data(ids.as_slice(), device)
        };
        Self {
            ids: tensor(ids),
            type_ids: tensor(type_ids),
            stem: None,
        }
    }
}

/// How far from the input a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Before the first block.
    Embeddings,
    /// In a block, counted from 0.
    Block(usize),
    /// After the last block: poolers, classifiers.
    Head,
}

/// A stack of blocks under a head.
pub trait Model<B: Backend>: Module<B> {
    /// Number of blocks.
    fn num_blocks(&self) -> usize;

    /// Where in the stack a parameter stands.
    fn depth(&self, path: &ParameterPath) -> Depth;

    /// Every linear layer with its name, that of its parameters without the last part; so that a
    /// low-rank adapter can be put on it.
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)>;

    /// States after the first `blocks` blocks, `[N]` to `[N, D]`, for a model that can go on from them when
    /// they are the [`Input::stem`].
    fn stem(&self, _input: Input<B>, _rows: &Rows, _blocks: usize) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        None
    }

    /// Of the states after all blocks, that of each row's first token, `[N]` to `[R, D]`.
    fn first_stem(&self, input: Input<B>, rows: &Rows) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        let states = self.stem(input, rows, self.num_blocks())?;
        let starts: Vec<i32> = rows.starts().into_iter().map(|slot| slot as i32).collect();
        let starts = Tensor::from_data(starts.as_slice(), &states.device());
        Some(states.select(0, starts))
    }
}

/// Gives each row scores: of classes, of labels, or one number.
///
/// Above the blocks, only the state of the row's first token is read.
pub trait Classifier<B: TrainBackend>: Model<B> {
    /// Logits, `[rows, labels]`.
    fn classify(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2>;
}

/// Gives each token scores of tags.
pub trait Tagger<B: TrainBackend>: Model<B> {
    /// Logits, `[N, tags]`; those of padding mean nothing.
    fn tag(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2>;
}

/// Gives states scores of all tokens; a trainer projects a few states at a time onto a large vocabulary.
pub trait LanguageModel<B: TrainBackend>: Model<B> {
    /// Tokens of the vocabulary.
    fn vocabulary(&self) -> usize;

    /// Logits of the last states, `[n, D]` to `[n, V]`.
    fn project(&self, states: Tensor<B, 2>) -> Tensor<B, 2>;
}

/// Predicts tokens that were hidden, from what stands before and after them.
pub trait MaskedLm<B: TrainBackend>: LanguageModel<B> {
    /// States of the tokens in some slots, `[n]` to `[n, D]`, ready to be projected.
    fn states(&self, input: Input<B>, rows: &Rows, slots: Tensor<B, 1, Int>) -> Tensor<B, 2>;
}

/// Predicts the next token of each token.
///
/// The parts of a forward pass stand apart, so that a trainer can recompute one block at a time.
pub trait CausalLm<B: TrainBackend>: LanguageModel<B> {
    /// The shape of each block's attention.
    fn heads(&self) -> Heads;

    /// What blocks need to know of where tokens stand.
    fn place(&self, slots: Slots, device: &B::Device) -> Place<B>;

    /// States before the first block, `[N, D]`, of token ids `[N]`.
    fn embed(&self, ids: Tensor<B, 1, Int>, place: &Place<B>) -> Tensor<B, 2>;

    /// States after one block, `[N, D]` to `[N, D]`; with a cache, its columns come before the new ones,
    /// which are added to it.
    fn block(
        &self,
        index: usize,
        hidden: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2>;

    /// The last norm, `[N, D]` to `[N, D]`: its states can be projected.
    fn norm(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2>;
}
