//! `config.json` of GPT-2.

use rekindle_nn::{Activation, Heads, Sight};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Sizes and rates of a GPT-2.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt2Config {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Attention heads of a block.
    pub num_heads: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layers.
    pub activation: Activation,
    /// Rows of the position embedding.
    pub max_positions: usize,
    /// Whether scores are divided by the root of the head's size.
    pub scales_scores: bool,
    /// Whether scores are divided by the number of the block, counted from 1.
    pub scales_by_block: bool,
    /// Whether the output layer is the embedding's transpose.
    pub is_tied: bool,
    /// Added to variances.
    pub norm_epsilon: f64,
    /// Dropout of embeddings.
    pub embedding_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout of what attention and the feed-forward network add.
    pub residual_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The architecture is another one.
    #[error("not a GPT-2: `{0}`")]
    Architecture(String),
    /// A field is missing or has a value of another type.
    #[error("`config.json` of a `gpt2` model cannot be read")]
    Field {
        /// Which field and why.
        source: serde_json::Error,
    },
    /// A field has a value that this implementation does not have.
    #[error("`config.json` asks for `{field}` = `{value}`, which is not supported; known: {known}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Values that are supported.
        known: String,
    },
    /// Two sizes contradict each other.
    #[error("`config.json` has `n_embd` {hidden_size}, which its {num_heads} heads do not divide")]
    Heads {
        /// The hidden size.
        hidden_size: usize,
        /// The number of heads.
        num_heads: usize,
    },
}

impl Gpt2Config {
    /// Values of `model_type` that [`Gpt2Config::from_json`] reads.
    pub const MODEL_TYPES: [&str; 1] = ["gpt2"];

    /// Reads a `config.json`.
    pub fn from_json(json: &Map<String, Value>) -> Result<Self, ConfigError> {
        let model_type = json.get("model_type").and_then(Value::as_str);
        let model_type = model_type.unwrap_or_default();
        if !Self::MODEL_TYPES.contains(&model_type) {
            return Err(ConfigError::Architecture(model_type.to_owned()));
        }
        let parsed = Gpt2Json::deserialize(Value::Object(json.clone()));
        parsed
            .map_err(|source| ConfigError::Field { source })?
            .config()
    }

    /// Tokens that a row can have at most.
    pub fn max_length(&self) -> usize {
        self.max_positions
    }

    /// The shape of attention.
    pub fn heads(&self) -> Heads {
        Heads {
            queries: self.num_heads,
            keys: self.num_heads,
            size: self.hidden_size / self.num_heads,
            sight: Sight::Causal { window: None },
        }
    }

    /// The same model with one rate for every dropout.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self {
            embedding_dropout: rate,
            attention_dropout: rate,
            residual_dropout: rate,
            ..self
        }
    }
}

/// Field names of GPT-2; defaults are transformers'.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the fields of the file"
)]
#[derive(Deserialize)]
struct Gpt2Json {
    vocab_size: usize,
    n_positions: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    #[serde(default = "gelu_new")]
    activation_function: String,
    #[serde(default = "tenth")]
    resid_pdrop: f64,
    #[serde(default = "tenth")]
    embd_pdrop: f64,
    #[serde(default = "tenth")]
    attn_pdrop: f64,
    #[serde(default = "epsilon")]
    layer_norm_epsilon: f64,
    #[serde(default = "deviation")]
    initializer_range: f64,
    #[serde(default = "yes")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default)]
    add_cross_attention: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

impl Gpt2Json {
    fn config(self) -> Result<Gpt2Config, ConfigError> {
        let (hidden_size, num_heads) = (self.n_embd, self.n_head);
        if num_heads == 0 || !hidden_size.is_multiple_of(num_heads) {
            return Err(ConfigError::Heads {
                hidden_size,
                num_heads,
            });
        }
        if self.add_cross_attention {
            return Err(ConfigError::Unsupported {
                field: "add_cross_attention",
                value: "true".to_owned(),
                known: "false".to_owned(),
            });
        }
        let activation = Activation::from_name(&self.activation_function);
        Ok(Gpt2Config {
            activation: activation.ok_or_else(|| ConfigError::Unsupported {
                field: "activation_function",
                value: self.activation_function,
                known: Activation::NAMES.join(", "),
            })?,
            vocab_size: self.vocab_size,
            hidden_size,
            num_layers: self.n_layer,
            num_heads,
            intermediate_size: self.n_inner.unwrap_or(4 * hidden_size),
            max_positions: self.n_positions,
            scales_scores: self.scale_attn_weights,
            scales_by_block: self.scale_attn_by_inverse_layer_idx,
            is_tied: self.tie_word_embeddings,
            norm_epsilon: self.layer_norm_epsilon,
            embedding_dropout: self.embd_pdrop,
            attention_dropout: self.attn_pdrop,
            residual_dropout: self.resid_pdrop,
            initializer_range: self.initializer_range,
        })
    }
}

fn gelu_new() -> String {
    "gelu_new".to_owned()
}

fn tenth() -> f64 {
    0.1
}

fn epsilon() -> f64 {
    1e-5
}

fn deviation() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use rekindle_nn::ParameterPath;
    use serde_json::json;

    fn read(extra: &Value) -> Result<Gpt2Config, ConfigError> {
        let mut json = json!({
            "model_type": "gpt2",
            "vocab_size": 48,
            "n_positions": 32,
            "n_embd": 12,
            "n_layer": 2,
            "n_head": 3,
        });
        let fields = json.as_object_mut().unwrap();
        fields.extend(extra.as_object().unwrap().clone());
        Gpt2Config::from_json(fields)
    }

    #[test]
    fn absent_fields_are_transformers_defaults() {
        let config = read(&json!({"n_inner": null, "n_ctx": 32})).unwrap();
        assert_eq!(config.intermediate_size, 48);
        assert_eq!(config.activation, Activation::GeluTanh);
        assert_eq!(config.residual_dropout, 0.1);
        assert!(config.scales_scores && config.is_tied && !config.scales_by_block);
        assert_eq!(config.heads().size, 4);
    }

    #[test]
    fn what_is_not_built_is_refused() {
        let refused = |json| read(&json).unwrap_err().to_string();
        assert_eq!(
            refused(json!({"n_head": 5})),
            "`config.json` has `n_embd` 12, which its 5 heads do not divide"
        );
        assert_eq!(
            refused(json!({"add_cross_attention": true})),
            "`config.json` asks for `add_cross_attention` = `true`, which is not supported; known: false"
        );
        assert!(refused(json!({"activation_function": "swish"})).contains("`swish`"));
        assert_eq!(
            refused(json!({"model_type": "gptj"})),
            "not a GPT-2: `gptj`"
        );
    }

    #[test]
    fn what_adds_to_the_residual_path_is_drawn_smaller() {
        let config = read(&json!({"initializer_range": 0.04})).unwrap();
        let deviation = |name: &str| {
            let path = ParameterPath {
                name: format!("transformer.h.1.{name}.weight"),
                layer: "Linear".to_owned(),
            };
            config.fresh(&path).deviation
        };
        assert_eq!(deviation("attn.c_attn"), 0.04);
        assert_eq!(deviation("attn.c_proj"), 0.02);
        assert_eq!(deviation("mlp.c_proj"), 0.02);
    }
}
