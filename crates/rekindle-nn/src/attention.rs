//! Multi-head self-attention, bidirectional.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::{Dropout, Linear, Rows, TrainBackend};

/// Projections to queries, keys and values, and scaled dot-product attention among the tokens of a row.
///
/// The projection that follows belongs to the block: its name differs between checkpoints.
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    dropout: Dropout,
    num_heads: usize,
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
            num_heads,
        }
    }
}

impl<B: TrainBackend> SelfAttention<B> {
    /// Lets each token attend to the tokens of its row.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`
    pub fn forward(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let query = self.query.forward(x.clone());
        let key = self.key.forward(x.clone());
        let value = self.value.forward(x);
        B::attend([query, key, value], self.num_heads, &self.dropout, rows)
    }
}
