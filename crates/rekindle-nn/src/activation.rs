//! Activation functions by their names on the Hub.

use burn::tensor::{Tensor, activation};

use crate::TrainBackend;

/// An elementwise function between two linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `gelu`: Gaussian error linear unit with the exact error function.
    Gelu,
    /// `gelu_new`, `gelu_pytorch_tanh`: its approximation by a hyperbolic tangent.
    GeluTanh,
    /// `relu`.
    Relu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    /// The names that [`Activation::from_name`] knows.
    pub const NAMES: [&str; 6] = [
        "gelu",
        "gelu_new",
        "gelu_fast",
        "gelu_pytorch_tanh",
        "relu",
        "tanh",
    ];

    /// The function that a `config.json` names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// Applies the function to each element.
    pub fn forward<B: TrainBackend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Gelu => B::gelu_exact(x),
            Self::GeluTanh => B::gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Tanh => x.tanh(),
        }
    }
}
