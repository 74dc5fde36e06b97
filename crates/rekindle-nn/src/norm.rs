//! Layer normalization.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::{TrainBackend, lazy_parameter};

/// Layer normalization over the last dimension (Ba, Kiros and Hinton, 2016).
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// Scale, `[D]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Shift, `[D]`.
    pub bias: Param<Tensor<B, 1>>,
    epsilon: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// Scale one and shift zero until [`crate::load`] fills them.
    pub fn new(width: usize, epsilon: f64, device: &B::Device) -> Self {
        Self {
            weight: lazy_parameter([width], 1.0, device),
            bias: lazy_parameter([width], 0.0, device),
            epsilon,
        }
    }
}

impl<B: TrainBackend> LayerNorm<B> {
    /// Normalizes each row.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        B::normalize_layer(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}
