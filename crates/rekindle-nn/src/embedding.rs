//! Embedding table.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, backend::Backend};

use crate::{TrainBackend, lazy_parameter};

/// A vector for each id.
#[derive(Module, Debug)]
pub struct Embedding<B: Backend> {
    /// `[ids, D]`.
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> Embedding<B> {
    /// A table of zeros until [`crate::initialize`] or [`crate::load`] fills it.
    pub fn new(ids: usize, width: usize, device: &B::Device) -> Self {
        Self {
            weight: lazy_parameter([ids, width], 0.0, device),
        }
    }
}

impl<B: TrainBackend> Embedding<B> {
    /// Looks ids up.
    ///
    /// # Shapes
    /// - ids: `[N]`
    /// - output: `[N, D]`
    pub fn forward(&self, ids: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        B::look_up(self.weight.val(), ids)
    }
}
