//! Linear layer.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::lazy_parameter;

/// `y = x W + b`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[inputs, outputs]`: the transpose of PyTorch's.
    pub weight: Param<Tensor<B, 2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Linear<B> {
    /// A layer with a bias, all zero until [`crate::initialize`] or [`crate::load`] fills it.
    pub fn new(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        Self {
            weight: lazy_parameter([inputs, outputs], 0.0, device),
            bias: Some(lazy_parameter([outputs], 0.0, device)),
        }
    }

    /// Applies the layer to each row of `x`.
    ///
    /// # Shapes
    /// - x: `[N, inputs]`
    /// - output: `[N, outputs]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let y = x.matmul(self.weight.val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}
