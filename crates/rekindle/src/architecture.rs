//! The registry of architectures: which model a `config.json` describes, and generic code called with it.
//!
//! To add an architecture: a variant, its arms below, and its crate in `Cargo.toml`.

use std::path::Path;

use rekindle_bert::{BertConfig, BertNames};
use rekindle_data::TaskKind;
use rekindle_gpt2::{Gpt2Config, Gpt2Names};
use rekindle_llama::{LlamaConfig, LlamaNames};
use rekindle_nn::{CausalLm, CheckpointNames, Fresh, ParameterPath, TrainBackend};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::objective::Objective;
use rekindle_train::recipe::Recipe;
use rekindle_train::stems::Still;
use rekindle_train::task::{Device, RowTask, TagTask, TrainableBackend, TrainableModel};
use rekindle_train::token_task::TokenTask;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::samples::ObservedTask;

/// Sizes and rates of a model, by its architecture.
#[derive(Clone, Debug)]
pub enum Architecture {
    /// An encoder.
    Bert(BertConfig),
    /// A decoder.
    Llama(LlamaConfig),
    /// A decoder.
    Gpt2(Gpt2Config),
}

/// Generic code that is called with a model and its task.
pub(crate) trait UseModel<B: TrainableBackend> {
    /// What it gives back.
    type Output;

    /// Is called with a model that has no weights yet.
    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>;
}

/// Generic code that is called with a decoder.
pub(crate) trait UseDecoder<B: TrainBackend> {
    /// What it gives back.
    type Output;

    /// Is called with a model that has no weights yet.
    fn call<M: CausalLm<B>>(self, model: M) -> Self::Output;
}

impl Architecture {
    /// Reads a `config.json`, which lies at `path`.
    pub(crate) fn read(json: &Map<String, Value>, path: &Path) -> Result<Self, Error> {
        let path = || path.to_owned();
        let model_type = json.get("model_type").and_then(Value::as_str);
        let model_type = model_type.unwrap_or_default();
        if let Some(quantization) = json.get("quantization_config") {
            let method = quantization.get("quant_method").and_then(Value::as_str);
            return Err(Error::Quantized {
                path: path(),
                method: method.unwrap_or("unknown").to_owned(),
            });
        }
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Config {
            path: path(),
            source,
        };
        if BertConfig::MODEL_TYPES.contains(&model_type) {
            return BertConfig::from_json(json)
                .map(Self::Bert)
                .map_err(|error| failed(error.into()));
        }
        if LlamaConfig::MODEL_TYPES.contains(&model_type) {
            return LlamaConfig::from_json(json)
                .map(Self::Llama)
                .map_err(|error| failed(error.into()));
        }
        if Gpt2Config::MODEL_TYPES.contains(&model_type) {
            return Gpt2Config::from_json(json)
                .map(Self::Gpt2)
                .map_err(|error| failed(error.into()));
        }
        let known = [
            BertConfig::MODEL_TYPES.as_slice(),
            LlamaConfig::MODEL_TYPES.as_slice(),
            Gpt2Config::MODEL_TYPES.as_slice(),
        ];
        Err(Error::Architecture {
            path: path(),
            model_type: model_type.to_owned(),
            known: known.concat(),
        })
    }

    /// Refuses a task that no model of this architecture has a head for; an error names `folder`.
    pub(crate) fn check(&self, task: TaskKind, folder: &Path) -> Result<(), Error> {
        match (self, task) {
            (Self::Bert(config), TaskKind::Mask) => {
                config.check_tied().map_err(|source| Error::Config {
                    path: folder.join("config.json"),
                    source: source.into(),
                })
            }
            (Self::Bert(_), TaskKind::Generate) => Err(Error::OtherKind {
                task,
                is_decoder: false,
            }),
            (Self::Llama(_) | Self::Gpt2(_), TaskKind::Generate) | (Self::Bert(_), _) => Ok(()),
            (Self::Llama(_) | Self::Gpt2(_), _) => Err(Error::OtherKind {
                task,
                is_decoder: true,
            }),
        }
    }

    /// Rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Bert(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
            Self::Gpt2(config) => config.vocab_size,
        }
    }

    /// The most tokens of a row.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Bert(config) => config.max_length(),
            Self::Llama(config) => config.max_length(),
            Self::Gpt2(config) => config.max_length(),
        }
    }

    /// Numbers of a token's hidden state.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Bert(config) => config.hidden_size,
            Self::Llama(config) => config.hidden_size,
            Self::Gpt2(config) => config.hidden_size,
        }
    }

    /// Whether its output layer is its embedding.
    pub(crate) fn is_tied(&self) -> bool {
        match self {
            Self::Bert(_) => false,
            Self::Llama(config) => config.is_tied,
            Self::Gpt2(config) => config.is_tied,
        }
    }

    /// Standard deviation of fresh weights.
    pub(crate) fn initializer_range(&self) -> f64 {
        match self {
            Self::Bert(config) => config.initializer_range,
            Self::Llama(config) => config.initializer_range,
            Self::Gpt2(config) => config.initializer_range,
        }
    }

    /// How a weight is drawn where there is no checkpoint.
    pub(crate) fn fresh(&self, path: &ParameterPath) -> Fresh {
        match self {
            Self::Bert(config) => config.fresh(path),
            Self::Llama(config) => config.fresh(path),
            Self::Gpt2(config) => config.fresh(path),
        }
    }

    /// The same with every dropout at this rate.
    pub(crate) fn with_dropout(self, rate: f64) -> Self {
        match self {
            Self::Bert(config) => Self::Bert(config.with_dropout(rate)),
            Self::Llama(config) => Self::Llama(config.with_dropout(rate)),
            Self::Gpt2(config) => Self::Gpt2(config.with_dropout(rate)),
        }
    }

    /// The same with dropout in the head alone.
    pub(crate) fn with_still_body(self) -> Self {
        match self {
            Self::Bert(config) => Self::Bert(BertConfig {
                hidden_dropout: 0.0,
                attention_dropout: 0.0,
                ..config
            }),
            Self::Llama(config) => Self::Llama(config.with_dropout(0.0)),
            Self::Gpt2(config) => Self::Gpt2(config.with_dropout(0.0)),
        }
    }

    /// The part of the model that gives the same states at every step, if all below the last `trained` blocks
    /// is frozen.
    pub(crate) fn still(&self, trained: usize) -> Option<Still> {
        match self {
            Self::Bert(config)
                if config.hidden_dropout == 0.0 && config.attention_dropout == 0.0 =>
            {
                let blocks = config.num_layers.saturating_sub(trained);
                let width = config.hidden_size;
                (blocks > 0).then_some(Still { blocks, width })
            }
            Self::Bert(_) | Self::Llama(_) | Self::Gpt2(_) => None,
        }
    }

    /// The names of the tensors of a model for this task.
    pub(crate) fn names(&self, task: TaskKind) -> Box<dyn CheckpointNames> {
        match self {
            Self::Bert(config) => Box::new(bert_names(config, task)),
            Self::Llama(config) => Box::new(LlamaNames::new(config.is_tied)),
            Self::Gpt2(config) => Box::new(Gpt2Names::new(config.is_tied)),
        }
    }

    /// What the tensors of a head's last layer begin with; language models have none that depends on labels.
    pub(crate) fn output_prefix(&self, task: TaskKind) -> Option<String> {
        match self {
            Self::Bert(_) if matches!(task, TaskKind::Mask | TaskKind::Distill) => None,
            Self::Bert(config) => Some(format!("{}.", bert_names(config, task).output_layer())),
            Self::Llama(_) | Self::Gpt2(_) => None,
        }
    }

    /// The name of transformers' class for this task.
    pub(crate) fn class(&self, task: TaskKind) -> String {
        match self {
            Self::Bert(config) => {
                let head = match task {
                    TaskKind::Distill => "Model",
                    TaskKind::Mask => "ForMaskedLM",
                    TaskKind::Tag => "ForTokenClassification",
                    _ => "ForSequenceClassification",
                };
                format!("{}{head}", config.class_prefix)
            }
            Self::Llama(config) => config.class.to_owned(),
            Self::Gpt2(_) => "GPT2LMHeadModel".to_owned(),
        }
    }

    /// Calls generic code with a model for an objective.
    pub(crate) fn with_model<B: TrainableBackend, U: UseModel<B>>(
        &self,
        objective: &Objective,
        recipe: &Recipe,
        device: &Device<B>,
        code: U,
    ) -> U::Output {
        let outputs = objective.num_outputs();
        let tokens = TokenTask {
            recomputes: recipe.model.gradient_checkpointing,
        };
        match self {
            Self::Bert(config) if objective.task() == TaskKind::Tag => {
                code.call(config.tagger(outputs, device), TagTask)
            }
            Self::Bert(config) if objective.task() == TaskKind::Mask => {
                code.call(config.word_predictor(device), MaskTask)
            }
            Self::Bert(config) if objective.learns_words() => {
                code.call(config.student(outputs, device), TagTask)
            }
            Self::Bert(config) if objective.task() == TaskKind::Distill => {
                code.call(config.student(outputs, device), RowTask)
            }
            Self::Bert(config) => code.call(config.classifier(outputs, device), RowTask),
            Self::Llama(config) => code.call(config.causal_lm(device), tokens),
            Self::Gpt2(config) => code.call(config.causal_lm(device), tokens),
        }
    }

    /// Calls generic code with a decoder.
    ///
    /// # Errors
    /// If the model is an encoder.
    pub(crate) fn with_decoder<B: TrainBackend, U: UseDecoder<B>>(
        &self,
        device: &Device<B>,
        code: U,
    ) -> Result<U::Output, Error> {
        match self {
            Self::Bert(_) => Err(Error::OtherKind {
                task: TaskKind::Generate,
                is_decoder: false,
            }),
            Self::Llama(config) => Ok(code.call(config.causal_lm(device))),
            Self::Gpt2(config) => Ok(code.call(config.causal_lm(device))),
        }
    }
}

fn bert_names(config: &BertConfig, task: TaskKind) -> BertNames {
    match task {
        TaskKind::Tag => BertNames::of_tagger(config.family),
        TaskKind::Mask => BertNames::of_word_predictor(config.family),
        _ => BertNames::of_classifier(config.family),
    }
}
