//! Linear layer, and the low-rank adapter that it may carry.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::{AdapterPass, Dropout, Noise, TrainBackend, lazy_parameter};

/// `y = x W + b`, and `+ s (x A) B` where it carries an adapter.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[inputs, outputs]`: the transpose of PyTorch's.
    pub weight: Param<Tensor<B, 2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// What is trained in the weight's place.
    pub adapter: Option<LoraAdapter<B>>,
}

/// A low-rank change of a weight, `s A B` (Hu et al., 2021); `A B` is never built.
#[derive(Module, Debug)]
pub struct LoraAdapter<B: Backend> {
    /// `A`, `[inputs, rank]`: the transpose of peft's.
    pub lora_a: Param<Tensor<B, 2>>,
    /// `B`, `[rank, outputs]`: the transpose of peft's.
    pub lora_b: Param<Tensor<B, 2>>,
    pub(crate) dropout: Dropout,
    pub(crate) scale: f64,
}

impl<B: Backend> Linear<B> {
    /// A layer with a bias, all zero until [`crate::initialize`] or [`crate::load`] fills it.
    pub fn new(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        Self {
            bias: Some(lazy_parameter([outputs], 0.0, device)),
            ..Self::without_bias(inputs, outputs, device)
        }
    }

    /// A layer without a bias.
    pub fn without_bias(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        Self {
            weight: lazy_parameter([inputs, outputs], 0.0, device),
            bias: None,
            adapter: None,
        }
    }
}

impl<B: TrainBackend> Linear<B> {
    /// Applies the layer to each row of `x`; `noise` is the source of the adapter's dropout.
    ///
    /// # Shapes
    /// - x: `[N, inputs]`
    /// - output: `[N, outputs]`
    pub fn forward(&self, x: Tensor<B, 2>, noise: Option<Noise>) -> Tensor<B, 2> {
        let weight = self.weight.val();
        let bias = self.bias.as_ref().map(Param::val);
        match (&self.adapter, bias) {
            (Some(adapter), bias) => {
                let inputs = [x, weight, adapter.lora_a.val(), adapter.lora_b.val()];
                B::adapt(inputs, bias, adapter.pass(noise))
            }
            (None, Some(bias)) => B::affine(x, weight, bias),
            (None, None) => B::multiply(x, weight),
        }
    }
}

impl<B: Backend> LoraAdapter<B> {
    /// An adapter of a layer of these sizes; `A` and `B` are zero until they are filled.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        rank: usize,
        scale: f64,
        dropout: Dropout,
        device: &B::Device,
    ) -> Self {
        Self {
            lora_a: lazy_parameter([inputs, rank], 0.0, device),
            lora_b: lazy_parameter([rank, outputs], 0.0, device),
            dropout,
            scale,
        }
    }

    /// Factor on the change.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The change of the weight, `[inputs, outputs]`: built to fold it in, never in a forward pass.
    pub(crate) fn change(&self) -> Tensor<B, 2> {
        self.lora_a.val().matmul(self.lora_b.val()) * self.scale
    }

    fn pass(&self, noise: Option<Noise>) -> AdapterPass<'_> {
        AdapterPass {
            scale: self.scale,
            dropout: self.dropout.with(noise),
        }
    }
}
