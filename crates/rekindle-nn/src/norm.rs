//! Normalization of hidden states.

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

/// Division by the root mean square over the last dimension (Zhang and Sennrich, 2019).
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// Scale, `[D]`.
    pub weight: Param<Tensor<B, 1>>,
    epsilon: f64,
}

impl<B: Backend> RmsNorm<B> {
    /// Scale one until [`crate::load`] fills it.
    pub fn new(width: usize, epsilon: f64, device: &B::Device) -> Self {
        Self {
            weight: lazy_parameter([width], 1.0, device),
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

impl<B: TrainBackend> RmsNorm<B> {
    /// Normalizes each row.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        B::normalize_rms(x, self.weight.val(), self.epsilon)
    }

    /// Normalizes each head by itself.
    ///
    /// # Shapes
    /// - x, output: `[N, H·D]`
    pub fn forward_heads(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [slots, width] = x.dims();
        let [size] = self.weight.dims();
        let heads = self.forward(x.reshape([slots * width / size, size])); // [N·H, D]
        heads.reshape([slots, width])
    }
}
