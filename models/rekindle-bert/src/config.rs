//! `config.json` of the BERT family.

use rekindle_nn::Activation;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The architectures, by how their tensors are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `bert`, MiniLM included.
    Bert,
    /// `roberta`, `xlm-roberta`, `camembert`.
    Roberta,
    /// `distilbert`.
    DistilBert,
}

/// Sizes and rates of an encoder, read from any architecture's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
    /// The architecture.
    pub family: Family,
    /// Prefix of transformers' class names: `Bert` of `BertForSequenceClassification`.
    pub class_prefix: &'static str,
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
    pub position_rows: usize,
    /// Row of the first token's position: 0, or the padding id + 1 for RoBERTa.
    pub position_offset: usize,
    /// The token that fills rows up: its fresh embedding is zero.
    pub padding_id: usize,
    /// Rows of the segment embedding; 0 where there is none.
    pub type_vocab_size: usize,
    /// Added to variances.
    pub norm_epsilon: f64,
    /// Dropout of embeddings, attention outputs and feed-forward outputs.
    pub hidden_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout before the output of a sequence classifier.
    pub sequence_dropout: f64,
    /// Dropout before the output of a token classifier.
    pub token_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Whether the output layer of a masked language model is the embedding of the words.
    pub is_tied: bool,
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The architecture is not of this family.
    #[error("not an architecture of the BERT family: `{0}`")]
    Architecture(String),
    /// A field is missing or has a value of another type.
    #[error("`config.json` of a `{model_type}` model cannot be read")]
    Field {
        /// The architecture.
        model_type: String,
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
    #[error(
        "`config.json` has `hidden_size` {hidden_size}, which its {num_heads} heads do not divide"
    )]
    Heads {
        /// The hidden size.
        hidden_size: usize,
        /// The number of heads.
        num_heads: usize,
    },
}

impl BertConfig {
    /// Values of `model_type` that [`BertConfig::from_json`] reads.
    pub const MODEL_TYPES: [&str; 5] =
        ["bert", "roberta", "xlm-roberta", "camembert", "distilbert"];

    /// Reads a `config.json`.
    pub fn from_json(json: &Map<String, Value>) -> Result<Self, ConfigError> {
        let model_type = json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let config = match model_type {
            "bert" => parse::<BertJson>(model_type, json)?.config(Family::Bert, "Bert"),
            "roberta" => parse::<BertJson>(model_type, json)?.config(Family::Roberta, "Roberta"),
            "xlm-roberta" => {
                parse::<BertJson>(model_type, json)?.config(Family::Roberta, "XLMRoberta")
            }
            "camembert" => {
                parse::<BertJson>(model_type, json)?.config(Family::Roberta, "Camembert")
            }
            "distilbert" => parse::<DistilBertJson>(model_type, json)?.config(),
            other => Err(ConfigError::Architecture(other.to_owned())),
        }?;
        let BertConfig {
            hidden_size,
            num_heads,
            ..
        } = config;
        if num_heads == 0 || !hidden_size.is_multiple_of(num_heads) {
            return Err(ConfigError::Heads {
                hidden_size,
                num_heads,
            });
        }
        Ok(config)
    }

    /// Tokens that a row can have at most.
    pub fn max_length(&self) -> usize {
        self.position_rows - self.position_offset
    }

    /// Refuses a configuration whose masked language model has an output layer of its own.
    pub fn check_tied(&self) -> Result<(), ConfigError> {
        if self.is_tied {
            return Ok(());
        }
        Err(ConfigError::Unsupported {
            field: "tie_word_embeddings",
            value: "false".to_owned(),
            known: "true".to_owned(),
        })
    }

    /// The same model with one rate for every dropout.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self {
            hidden_dropout: rate,
            attention_dropout: rate,
            sequence_dropout: rate,
            token_dropout: rate,
            ..self
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    model_type: &str,
    json: &Map<String, Value>,
) -> Result<T, ConfigError> {
    T::deserialize(Value::Object(json.clone())).map_err(|source| ConfigError::Field {
        model_type: model_type.to_owned(),
        source,
    })
}

fn activation(field: &'static str, name: &str) -> Result<Activation, ConfigError> {
    Activation::from_name(name).ok_or_else(|| ConfigError::Unsupported {
        field,
        value: name.to_owned(),
        known: Activation::NAMES.join(", "),
    })
}

/// Field names of BERT and RoBERTa; defaults are transformers'.
#[derive(Deserialize)]
struct BertJson {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "bert_epsilon")]
    layer_norm_eps: f64,
    #[serde(default = "tenth")]
    hidden_dropout_prob: f64,
    #[serde(default = "tenth")]
    attention_probs_dropout_prob: f64,
    #[serde(default)]
    classifier_dropout: Option<f64>,
    #[serde(default = "deviation")]
    initializer_range: f64,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

impl BertJson {
    fn config(self, family: Family, class_prefix: &'static str) -> Result<BertConfig, ConfigError> {
        let unsupported = |field, value: String, known: &str| {
            Err(ConfigError::Unsupported {
                field,
                value,
                known: known.to_owned(),
            })
        };
        if let Some(kind) = self
            .position_embedding_type
            .filter(|kind| kind != "absolute")
        {
            return unsupported("position_embedding_type", kind, "absolute");
        }
        if self.is_decoder {
            return unsupported("is_decoder", "true".to_owned(), "false");
        }
        // transformers' `RobertaConfig` has the padding id 1.
        let (padding_id, position_offset) = match family {
            Family::Roberta => {
                let padding_id = self.pad_token_id.unwrap_or(1);
                (padding_id, padding_id + 1)
            }
            Family::Bert | Family::DistilBert => (self.pad_token_id.unwrap_or(0), 0),
        };
        let head_dropout = self.classifier_dropout.unwrap_or(self.hidden_dropout_prob);
        Ok(BertConfig {
            family,
            class_prefix,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_hidden_layers,
            num_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            activation: activation("hidden_act", &self.hidden_act)?,
            position_rows: self.max_position_embeddings,
            position_offset,
            padding_id,
            type_vocab_size: self.type_vocab_size,
            norm_epsilon: self.layer_norm_eps,
            hidden_dropout: self.hidden_dropout_prob,
            attention_dropout: self.attention_probs_dropout_prob,
            sequence_dropout: head_dropout,
            token_dropout: head_dropout,
            initializer_range: self.initializer_range,
            is_tied: self.tie_word_embeddings,
        })
    }
}

/// Field names of DistilBERT; defaults are transformers'.
#[derive(Deserialize)]
struct DistilBertJson {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default = "tenth")]
    dropout: f64,
    #[serde(default = "tenth")]
    attention_dropout: f64,
    #[serde(default = "fifth")]
    seq_classif_dropout: f64,
    #[serde(default = "deviation")]
    initializer_range: f64,
    pad_token_id: Option<usize>,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

impl DistilBertJson {
    fn config(self) -> Result<BertConfig, ConfigError> {
        Ok(BertConfig {
            family: Family::DistilBert,
            class_prefix: "DistilBert",
            vocab_size: self.vocab_size,
            hidden_size: self.dim,
            num_layers: self.n_layers,
            num_heads: self.n_heads,
            intermediate_size: self.hidden_dim,
            activation: activation("activation", &self.activation)?,
            position_rows: self.max_position_embeddings,
            position_offset: 0,
            padding_id: self.pad_token_id.unwrap_or(0),
            type_vocab_size: 0,
            // Fixed in transformers' `modeling_distilbert.py`.
            norm_epsilon: 1e-12,
            hidden_dropout: self.dropout,
            attention_dropout: self.attention_dropout,
            sequence_dropout: self.seq_classif_dropout,
            token_dropout: self.dropout,
            initializer_range: self.initializer_range,
            is_tied: self.tie_word_embeddings,
        })
    }
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn two() -> usize {
    2
}

fn bert_epsilon() -> f64 {
    1e-12
}

fn tenth() -> f64 {
    0.1
}

fn fifth() -> f64 {
    0.2
}

fn deviation() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}
