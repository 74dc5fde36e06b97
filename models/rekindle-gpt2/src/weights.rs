//! Names of GPT-2's tensors on the Hub.

use rekindle_nn::{CheckpointNames, Fresh, ParameterPath};

use crate::Gpt2Config;

/// The names that GPT-2 gives its tensors: those of our fields.
#[derive(Clone, Copy, Debug)]
pub struct Gpt2Names {
    is_tied: bool,
}

impl Gpt2Names {
    /// Names of a model whose output layer is its embedding, or is not.
    pub fn new(is_tied: bool) -> Self {
        Self { is_tied }
    }
}

impl CheckpointNames for Gpt2Names {
    fn tensor_name(&self, path: &ParameterPath) -> String {
        path.name.clone()
    }

    fn canonical(&self, tensor_name: &str) -> String {
        // The original checkpoints are of the decoder alone, and have no prefix.
        let is_body = ["wte.", "wpe.", "h.", "ln_f."]
            .iter()
            .any(|part| tensor_name.starts_with(part));
        if is_body {
            format!("transformer.{tensor_name}")
        } else {
            tensor_name.to_owned()
        }
    }

    fn is_ignored(&self, canonical: &str) -> bool {
        // Older versions of transformers stored the causal mask, and the tied weight a second time.
        canonical.ends_with(".attn.bias")
            || canonical.ends_with(".attn.masked_bias")
            || self.is_tied && canonical == "lm_head.weight"
    }

    fn is_head(&self, _path: &ParameterPath) -> bool {
        // An output layer that was never trained predicts nothing: its absence is an error.
        false
    }

    fn is_transposed(&self, path: &ParameterPath) -> bool {
        // All other layers are `Conv1D`, `[inputs, outputs]` (transformers' `pytorch_utils.py`).
        path.name == "lm_head.weight"
    }
}

impl Gpt2Config {
    /// How a weight of a model from scratch is drawn, as in transformers' `_init_weights`: what adds to the
    /// residual path is smaller by the root of the number of such layers (Radford et al., 2019).
    pub fn fresh(&self, path: &ParameterPath) -> Fresh {
        let scale = if path.name.ends_with("c_proj.weight") {
            1.0 / (2.0 * self.num_layers as f64).sqrt()
        } else {
            1.0
        };
        Fresh {
            deviation: self.initializer_range * scale,
            zero_row: None,
        }
    }
}
