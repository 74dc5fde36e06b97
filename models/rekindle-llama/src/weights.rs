//! Names of the Llama family's tensors on the Hub.

use rekindle_nn::{CheckpointNames, Fresh, ParameterPath};

use crate::LlamaConfig;

/// The names that the architectures give their tensors: those of our fields.
#[derive(Clone, Copy, Debug)]
pub struct LlamaNames {
    is_tied: bool,
}

impl LlamaNames {
    /// Names of a model whose output layer is its embedding, or is not.
    pub fn new(is_tied: bool) -> Self {
        Self { is_tied }
    }
}

impl CheckpointNames for LlamaNames {
    fn tensor_name(&self, path: &ParameterPath) -> String {
        path.name.clone()
    }

    fn canonical(&self, tensor_name: &str) -> String {
        // A checkpoint of the decoder alone has no prefix.
        let is_body = ["embed_tokens.", "layers.", "norm."]
            .iter()
            .any(|part| tensor_name.starts_with(part));
        if is_body {
            format!("model.{tensor_name}")
        } else {
            tensor_name.to_owned()
        }
    }

    fn is_ignored(&self, canonical: &str) -> bool {
        // Older versions of transformers stored the frequencies, and the tied weight a second time.
        canonical.ends_with("rotary_emb.inv_freq") || self.is_tied && canonical == "lm_head.weight"
    }

    fn is_head(&self, _path: &ParameterPath) -> bool {
        // An output layer that was never trained predicts nothing: its absence is an error.
        false
    }
}

impl LlamaConfig {
    /// How a weight of a model from scratch is drawn, as in transformers' `_init_weights`.
    pub fn fresh(&self, path: &ParameterPath) -> Fresh {
        let is_embedding = path.name.ends_with("embed_tokens.weight");
        Fresh {
            deviation: self.initializer_range,
            zero_row: self.padding_id.filter(|_| is_embedding),
        }
    }
}
