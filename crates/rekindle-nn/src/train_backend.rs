//! The operations that dominate training, as an extension of Burn's backends.
//!
//! Layers call these instead of composing tensors themselves, so that a backend can bring a kernel for
//! one of them without any model knowing. The default of each method is the composed version in
//! `composed.rs`: right on every backend, differentiated by Burn, fused by `CubeCL` on GPUs.

use burn::tensor::{Int, Tensor, backend::Backend};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn_flex::Flex;
use burn_fusion::{Fusion, FusionBackend};
use burn_ndarray::NdArray;

use crate::{Dropout, Heads, Masks, Rows, composed};

/// A backend that models can be trained on.
pub trait TrainBackend: Backend {
    /// Softmax attention within rows, `softmax(q kᵀ / √c) v` per head of size `c` (Vaswani et al., 2017).
    ///
    /// # Shapes
    /// - q, output: `[N, H·C]`, heads side by side
    /// - k, v: `[N, K·C]`; query head `h` reads key head `h / (H/K)`
    ///
    /// `masks` are those of the batch, the same for all of its blocks.
    fn attend(
        [q, k, v]: [Tensor<Self, 2>; 3],
        heads: Heads,
        dropout: &Dropout,
        rows: &Rows,
        masks: &Masks<Self>,
    ) -> Tensor<Self, 2> {
        composed::attend([q, k, v], heads, dropout, rows, masks)
    }

    /// Layer normalization of each row with the biased variance.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`; scale, shift: `[D]`
    fn normalize_layer(
        x: Tensor<Self, 2>,
        scale: Tensor<Self, 1>,
        shift: Tensor<Self, 1>,
        epsilon: f64,
    ) -> Tensor<Self, 2> {
        composed::normalize_layer(x, scale, shift, epsilon)
    }

    /// Division of each row by its root mean square (Zhang and Sennrich, 2019), computed in f32.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`; scale: `[D]`
    fn normalize_rms(x: Tensor<Self, 2>, scale: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 2> {
        composed::normalize_rms(x, scale, epsilon)
    }

    /// `silu(gate) up`, the gated unit of Llama's feed-forward layers (Shazeer, 2020).
    fn swiglu(gate: Tensor<Self, 2>, up: Tensor<Self, 2>) -> Tensor<Self, 2> {
        composed::swiglu(gate, up)
    }

    /// `x Φ(x)` with the exact error function, its gradient exact as well.
    fn gelu_exact(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        composed::gelu_exact(x)
    }

    /// The approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel, 2016).
    fn gelu_tanh(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        composed::gelu_tanh(x)
    }

    /// Sum over rows of `-log softmax(logits)[target]`, in nats.
    ///
    /// # Shapes
    /// - logits: `[N, V]`; targets: `[N]`; output: `[1]`
    fn cross_entropy_sum(
        logits: Tensor<Self, 2>,
        targets: Tensor<Self, 1, Int>,
    ) -> Tensor<Self, 1> {
        composed::cross_entropy_sum(logits, targets)
    }

    /// One `AdamW` update (Loshchilov and Hutter, 2019), as `torch.optim.AdamW` computes it.
    ///
    /// Takes and returns parameter, first and second moment; all of one length.
    fn adamw_update(
        state: [Tensor<Self, 1>; 3],
        gradient: Tensor<Self, 1>,
        step: &AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        composed::adamw_update(state, gradient, step)
    }
}

/// The numbers of one [`TrainBackend::adamw_update`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this parameter at this step.
    pub learning_rate: f64,
    /// Decoupled weight decay; zero for biases and norms.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Factor on the gradient, from clipping; 1 where nothing is clipped.
    pub gradient_scale: f64,
    /// Updates of this parameter so far, this one included.
    pub count: u64,
}

impl TrainBackend for NdArray {}
impl TrainBackend for Flex {}
impl<B: FusionBackend> TrainBackend for Fusion<B> {}
impl<B: TrainBackend, C: CheckpointStrategy> TrainBackend for Autodiff<B, C> {}
