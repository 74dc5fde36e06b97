//! Multi-head self-attention, bidirectional.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::{Dropout, Heads, Linear, Masks, Rows, Sight, TrainBackend};

/// Projections to queries, keys and values, and scaled dot-product attention among the tokens of a row.
///
/// The projection that follows belongs to the block: its name differs between checkpoints.
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    dropout: Dropout,
    #[module(skip)]
    heads: Heads,
}

impl<B: Backend> SelfAttention<B> {
    /// Attention of `num_heads` heads, each `width / num_heads` wide.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn new(width: usize, num_heads: usize, dropout: Dropout, device: &B::Device) -> Self {
        assert!(
            width.is_multiple_of(num_heads),
            "the heads divide the hidden size"
        );
        let linear = || Linear::new(width, width, device);
        Self {
            query: linear(),
            key: linear(),
            value: linear(),
            dropout,
            heads: Heads::bidirectional(num_heads, width / num_heads),
        }
    }
}

impl<B: Backend> SelfAttention<B> {
    /// The projections to queries, keys and values, whose parameters are `query`, `key` and `value`.
    pub fn projections_mut(&mut self) -> [&mut Linear<B>; 3] {
        [&mut self.query, &mut self.key, &mut self.value]
    }
}

impl<B: TrainBackend> SelfAttention<B> {
    /// Lets each token attend to the tokens of its row.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`
    pub fn forward(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        self.attend([x.clone(), x], rows, self.heads)
    }

    /// Lets the first token of each row attend to the tokens of its row; the others' outputs are not
    /// computed.
    ///
    /// # Shapes
    /// - x: `[N, D]`; first, output: `[R, D]`
    pub fn forward_first(&self, x: Tensor<B, 2>, first: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let heads = Heads {
            sight: Sight::FromFirst,
            ..self.heads
        };
        self.attend([first, x], rows, heads)
    }

    /// Lets tokens that look attend to those that are seen.
    fn attend(&self, [from, to]: [Tensor<B, 2>; 2], rows: &Rows, heads: Heads) -> Tensor<B, 2> {
        let query = self.query.forward(from, rows.noise());
        let key = self.key.forward(to.clone(), rows.noise());
        let value = self.value.forward(to, rows.noise());
        let qkv = [query, key, value];
        B::attend(qkv, heads, &self.dropout, rows, &Masks::default())
    }
}
