//! `config.json` of the Llama family.

use rekindle_nn::{Heads, Rotary, Sight};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rope::{self, RopeJson};

/// Sizes and rates of a decoder, read from any architecture's `config.json`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "variants differ in what they have, each by itself"
)]
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Name of transformers' class of the language model.
    pub class: &'static str,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Heads of the queries.
    pub num_heads: usize,
    /// Heads of the keys and values.
    pub num_key_heads: usize,
    /// Numbers in a head.
    pub head_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Tokens that a row can have at most.
    pub max_positions: usize,
    /// How fast the numbers of queries and keys turn with their position.
    pub rotary: Rotary,
    /// Tokens that each block's attention sees at most; one for each block.
    pub windows: Vec<Option<usize>>,
    /// Whether the projections to queries, keys and values have biases.
    pub has_query_bias: bool,
    /// Whether the projection after attention has one.
    pub has_output_bias: bool,
    /// Whether the feed-forward layers have biases.
    pub has_mlp_bias: bool,
    /// Whether queries and keys are normalized per head (Qwen3).
    pub has_head_norms: bool,
    /// Whether the output layer is the embedding's transpose.
    pub is_tied: bool,
    /// Added to mean squares.
    pub norm_epsilon: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The token that fills rows up, if there is one: its fresh embedding is zero.
    pub padding_id: Option<usize>,
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The architecture is not of this family.
    #[error("not an architecture of the Llama family: `{0}`")]
    Architecture(String),
    /// A field is missing or has a value of another type.
    #[error("`config.json` of a `{model_type}` model cannot be read")]
    Field {
        /// The architecture.
        model_type: String,
        /// Which field and why.
        source: serde_json::Error,
    },
    /// A field that another one asks for is missing.
    #[error("`config.json` lacks `{field}`, which its `{of}` needs")]
    Missing {
        /// The field.
        field: &'static str,
        /// What needs it.
        of: String,
    },
    /// A field has a value that this implementation does not have.
    #[error("`config.json` asks for `{field}` = `{value}`, which is not supported; known: {known}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Values that are supported.
        known: &'static str,
    },
    /// Query heads cannot be shared out among key heads.
    #[error(
        "`config.json` has {queries} attention heads, which its {keys} key heads do not divide"
    )]
    Heads {
        /// Heads of the queries.
        queries: usize,
        /// Heads of the keys.
        keys: usize,
    },
    /// A list of blocks has another length than there are blocks.
    #[error("`config.json` has {found} `layer_types` for {expected} blocks")]
    LayerTypes {
        /// Number of blocks.
        expected: usize,
        /// Entries of the list.
        found: usize,
    },
}

impl LlamaConfig {
    /// Values of `model_type` that [`LlamaConfig::from_json`] reads.
    pub const MODEL_TYPES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

    /// Reads a `config.json`.
    pub fn from_json(json: &Map<String, Value>) -> Result<Self, ConfigError> {
        let model_type = json.get("model_type").and_then(Value::as_str);
        let variant = match model_type.unwrap_or_default() {
            "llama" => Variant::Llama,
            "mistral" => Variant::Mistral,
            "qwen2" => Variant::Qwen2,
            "qwen3" => Variant::Qwen3,
            other => return Err(ConfigError::Architecture(other.to_owned())),
        };
        let parsed = LlamaJson::deserialize(Value::Object(json.clone()));
        let parsed = parsed.map_err(|source| ConfigError::Field {
            model_type: model_type.unwrap_or_default().to_owned(),
            source,
        })?;
        parsed.config(variant)
    }

    /// Tokens that a row can have at most.
    pub fn max_length(&self) -> usize {
        self.max_positions
    }

    /// The shape of attention; the windows of single blocks are not part of it.
    pub fn heads(&self) -> Heads {
        Heads {
            queries: self.num_heads,
            keys: self.num_key_heads,
            size: self.head_size,
            sight: Sight::Causal { window: None },
        }
    }

    /// The same model with one rate for every dropout.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self {
            attention_dropout: rate,
            ..self
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

/// Field names of all variants; defaults are transformers'.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the fields of the file"
)]
#[derive(Deserialize)]
struct LlamaJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    rms_norm_eps: f64,
    #[serde(default = "deviation")]
    initializer_range: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    attention_dropout: Option<f64>,
    rope_parameters: Option<RopeJson>,
    rope_scaling: Option<RopeJson>,
    rope_theta: Option<f64>,
    #[serde(default = "mistral_window")]
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default = "window_layers")]
    max_window_layers: usize,
    layer_types: Option<Vec<String>>,
    /// Older files have -1 for none.
    pad_token_id: Option<i64>,
}

impl LlamaJson {
    fn config(self, variant: Variant) -> Result<LlamaConfig, ConfigError> {
        if self.hidden_act != "silu" {
            return Err(ConfigError::Unsupported {
                field: "hidden_act",
                value: self.hidden_act,
                known: "silu",
            });
        }
        let (queries, keys) = (self.num_attention_heads, self.num_keys(variant));
        if keys == 0 || queries == 0 || !queries.is_multiple_of(keys) {
            return Err(ConfigError::Heads { queries, keys });
        }
        let head_size = self.head_size(variant)?;
        let theta = self.rope_theta;
        let scaling = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let (theta, scaling) = rope::read(scaling, theta, self.max_position_embeddings)?;
        let has_bias = variant != Variant::Mistral && self.attention_bias;
        Ok(LlamaConfig {
            class: match variant {
                Variant::Llama => "LlamaForCausalLM",
                Variant::Mistral => "MistralForCausalLM",
                Variant::Qwen2 => "Qwen2ForCausalLM",
                Variant::Qwen3 => "Qwen3ForCausalLM",
            },
            windows: self.windows(variant)?,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_hidden_layers,
            num_heads: queries,
            num_key_heads: keys,
            head_size,
            intermediate_size: self.intermediate_size,
            max_positions: self.max_position_embeddings,
            rotary: Rotary::new(head_size, theta, scaling),
            // Qwen2's are fixed in transformers' `modeling_qwen2.py`.
            has_query_bias: variant == Variant::Qwen2 || has_bias,
            has_output_bias: variant != Variant::Qwen2 && has_bias,
            has_mlp_bias: variant == Variant::Llama && self.mlp_bias,
            has_head_norms: variant == Variant::Qwen3,
            is_tied: self.tie_word_embeddings,
            norm_epsilon: self.rms_norm_eps,
            attention_dropout: self.attention_dropout.unwrap_or(0.0),
            initializer_range: self.initializer_range,
            padding_id: self.pad_token_id.and_then(|id| usize::try_from(id).ok()),
        })
    }

    fn num_keys(&self, variant: Variant) -> usize {
        self.num_key_value_heads.unwrap_or(match variant {
            Variant::Mistral => 8,
            Variant::Llama | Variant::Qwen2 | Variant::Qwen3 => self.num_attention_heads,
        })
    }

    fn head_size(&self, variant: Variant) -> Result<usize, ConfigError> {
        let size = self.head_dim.unwrap_or(match variant {
            Variant::Qwen3 => 128,
            Variant::Llama | Variant::Mistral | Variant::Qwen2 => {
                self.hidden_size / self.num_attention_heads
            }
        });
        if size == 0 || !size.is_multiple_of(2) {
            return Err(ConfigError::Unsupported {
                field: "head_dim",
                value: size.to_string(),
                known: "even numbers",
            });
        }
        Ok(size)
    }

    /// The window of each block.
    fn windows(&self, variant: Variant) -> Result<Vec<Option<usize>>, ConfigError> {
        let layers = self.num_hidden_layers;
        let window = match variant {
            Variant::Llama => None,
            Variant::Mistral => self.sliding_window,
            Variant::Qwen2 | Variant::Qwen3 => {
                self.sliding_window.filter(|_| self.use_sliding_window)
            }
        };
        if matches!(variant, Variant::Llama | Variant::Mistral) {
            return Ok(vec![window; layers]);
        }
        let Some(types) = &self.layer_types else {
            let of = |layer: usize| window.filter(|_| layer >= self.max_window_layers);
            return Ok((0..layers).map(of).collect());
        };
        if types.len() != layers {
            return Err(ConfigError::LayerTypes {
                expected: layers,
                found: types.len(),
            });
        }
        let of = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            other => Err(ConfigError::Unsupported {
                field: "layer_types",
                value: other.to_owned(),
                known: "full_attention, sliding_attention",
            }),
        };
        types.iter().map(of).collect()
    }
}

fn silu() -> String {
    "silu".to_owned()
}

fn epsilon() -> f64 {
    1e-6
}

fn deviation() -> f64 {
    0.02
}

/// Where the field is absent; `null` means no window.
#[expect(
    clippy::unnecessary_wraps,
    reason = "serde takes the default of the field's type"
)]
fn mistral_window() -> Option<usize> {
    Some(4096)
}

fn window_layers() -> usize {
    28
}

#[cfg(test)]
mod tests;
