//! The recipe: everything that decides what a run does, as one checked, serializable value.
//!
//! A recipe is TOML. Command-line flags are merged into the same table before it is read, so that there
//! is one set of names, one check, and one record of what ran.

mod keys;
mod lora;
mod mask;
mod parse;
mod ranges;
mod scratch;

use std::path::PathBuf;

use jiff::civil::Date;
use rekindle_data::{Batching, Documents, TaskKind, Truncation};
use serde::{Deserialize, Serialize};

pub use lora::{LoraRecipe, TargetsRecipe};
pub use mask::MaskRecipe;
pub use parse::{RecipeError, set};

/// What to train, on what, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The model to start from.
    pub model: ModelRecipe,
    /// Which weights move.
    pub method: MethodRecipe,
    /// The data and how it is cut into batches.
    pub data: DataRecipe,
    /// The loop.
    pub train: TrainRecipe,
    /// `mask`: what is hidden.
    #[serde(skip_serializing_if = "MaskRecipe::is_default")]
    pub mask: MaskRecipe,
    /// `distill`: whose vectors are learned.
    #[serde(skip_serializing_if = "DistillRecipe::is_default")]
    pub distill: DistillRecipe,
    /// What is saved on the way, and which weights are kept.
    pub checkpoint: CheckpointRecipe,
    /// Where it runs and writes.
    pub run: RunRecipe,
}

/// The name of the model that a program may bring with it.
pub const BUNDLED: &str = "bundled";

/// Passes over the training rows, unless the recipe says.
pub const DEFAULT_EPOCHS: usize = 3;

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRecipe {
    /// Hub id, folder, or [`BUNDLED`]; empty where `config` takes its place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// A `config.json`, or a folder that holds one: the model is made from scratch, with random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// With `config`: a `tokenizer.json` or a folder that holds one; the configuration's if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// The task; inferred from the data if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// Rate of every dropout; the checkpoint's own if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Whether what blocks compute is not kept but computed again on the way back: less memory, more time.
    pub gradient_checkpointing: bool,
}

/// `[method]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodRecipe {
    /// The method.
    pub kind: MethodKind,
    /// `last-layers`: how many blocks below the head are trained.
    pub layers: usize,
    /// Learning rate of a block, as a fraction of the rate of the block above it.
    pub layer_decay: f64,
    /// `lora`: rank of the adapters; 8 if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// `lora`: their scale, which the rank divides; 16 if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// `lora`: dropout before them; 0.05 if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// `lora`: the layers that get one; `all-linear` if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetsRecipe>,
    /// `lora`: whether the root of the rank divides the scale; false if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rslora: Option<bool>,
    /// `lora`: modules that are trained in full; a new head always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules_to_save: Option<Vec<String>>,
}

/// Which weights a run trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// All.
    Full,
    /// What follows the last block.
    Head,
    /// The head and the blocks nearest to it.
    LastLayers,
    /// Low-rank adapters of linear layers.
    Lora,
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Training files; the bundled reviews if empty.
    pub train: Vec<PathBuf>,
    /// Validation file; without it, a part of the training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// A text on which the base's own objective is measured before training and at each evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub general: Option<PathBuf>,
    /// The part of the training rows that is kept for validation; 0: no evaluation.
    pub valid_fraction: f64,
    /// Longest row in tokens; 256 or what the model can take if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What happens to longer rows; if omitted, prompts and chats are left out, others cut on the right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
    /// `generate`: how much the tokens of a prompt count as targets, beside 1 for those of its answer.
    pub prompt_loss_weight: f64,
    /// What a document of a raw text is; if omitted, the file tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
    /// How rows are put into batches.
    pub batching: Batching,
    /// `generate`: the day that a chat template writes where it asks for one; if omitted, the day on which
    /// the run began.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "parse::day"
    )]
    pub date: Option<Date>,
    /// `generate`: whether several rows share the room of a longest one; a batch then counts rooms.
    pub pack: bool,
}

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainRecipe {
    /// Passes over the training rows; [`DEFAULT_EPOCHS`] if omitted, for a small model one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Optimizer steps; 0: as many as the epochs take.
    pub max_steps: usize,
    /// Rows of a forward pass.
    pub batch_size: usize,
    /// Forward passes of an optimizer step.
    pub accumulate: usize,
    /// Highest learning rate; the method's default if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Factor on the method's default learning rate.
    pub learning_rate_multiplier: f64,
    /// How the learning rate moves.
    pub schedule: ScheduleKind,
    /// Steps of rising learning rate: below 1 a fraction of all steps, else a number of them.
    pub warmup: f64,
    /// Decoupled weight decay, not on biases and norms.
    pub weight_decay: f64,
    /// Largest global norm of the gradient; 0: no clipping.
    pub max_grad_norm: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// When to evaluate.
    pub evaluate_every: Every,
    /// Steps between logged steps.
    pub log_every: usize,
    /// `generate`: prompts that are answered at each evaluation.
    pub samples: Vec<String>,
}

/// Shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Falls to zero in a straight line.
    Linear,
    /// Falls to zero along half a cosine.
    Cosine,
    /// Stays.
    Constant,
    /// Warm-up, stable, decay: stays, and falls to zero over the last fifth of the steps.
    Wsd,
}

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`\"epoch\"` or a number of steps")]
pub enum Every {
    /// After so many steps.
    Steps(usize),
    /// After each epoch.
    Epoch(EpochWord),
}

/// The word `"epoch"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochWord {
    /// `"epoch"`.
    Epoch,
}

/// `[distill]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillRecipe {
    /// The model whose vectors are learned: Hub id or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The teacher's block, from 1, whose states of words are learned; the sentence vectors if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
}

impl DistillRecipe {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointRecipe {
    /// When to save all that the run needs to go on; 0: only when it is stopped.
    pub save_every: Every,
    /// How many of the newest checkpoints are kept.
    pub keep_last: usize,
    /// Whether the best weights are kept in place of the last ones.
    pub keep_best: bool,
    /// What makes weights the best: a metric of the task, `loss`, or `auto`.
    pub metric: String,
    /// Evaluations without a better number after which the run ends; 0: it goes on.
    pub patience: usize,
}

/// `[run]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunRecipe {
    /// Folder of the run; `{date}`, `{model}` and `{task}` are filled in.
    pub output: String,
    /// Backend, or `auto`.
    pub backend: String,
    /// Type of weights and activations.
    pub dtype: Precision,
}

/// Type of the numbers that a model computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats with the exponent of 32-bit ones; the optimizer keeps 32-bit weights.
    Bf16,
}

impl Default for ModelRecipe {
    fn default() -> Self {
        Self {
            base: BUNDLED.to_owned(),
            config: None,
            tokenizer: None,
            task: None,
            dropout: None,
            gradient_checkpointing: false,
        }
    }
}

impl Default for MethodRecipe {
    fn default() -> Self {
        Self {
            kind: MethodKind::Full,
            layers: 2,
            layer_decay: 1.0,
            rank: None,
            alpha: None,
            dropout: None,
            targets: None,
            rslora: None,
            modules_to_save: None,
        }
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            train: Vec::new(),
            valid: None,
            general: None,
            valid_fraction: 0.1,
            max_length: None,
            truncation: None,
            prompt_loss_weight: 0.0,
            documents: None,
            batching: Batching::Bucketed,
            date: None,
            pack: false,
        }
    }
}

impl Default for TrainRecipe {
    fn default() -> Self {
        Self {
            epochs: None,
            max_steps: 0,
            batch_size: 16,
            accumulate: 1,
            learning_rate: None,
            learning_rate_multiplier: 1.0,
            schedule: ScheduleKind::Linear,
            warmup: 0.06,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            seed: 42,
            evaluate_every: Every::Epoch(EpochWord::Epoch),
            log_every: 1,
            samples: Vec::new(),
        }
    }
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self {
            save_every: Every::Epoch(EpochWord::Epoch),
            keep_last: 2,
            keep_best: true,
            metric: "auto".to_owned(),
            patience: 0,
        }
    }
}

impl Default for RunRecipe {
    fn default() -> Self {
        Self {
            output: "runs/{date}-{model}-{task}".to_owned(),
            backend: "auto".to_owned(),
            dtype: Precision::F32,
        }
    }
}

impl MethodKind {
    /// The learning rate that the reference stack uses with this method and task.
    pub fn default_learning_rate(self, task: TaskKind) -> f64 {
        match self {
            Self::Full | Self::LastLayers if task == TaskKind::Generate => 2e-5,
            Self::Full | Self::LastLayers => 5e-5,
            Self::Head => 1e-3,
            Self::Lora => 2e-4,
        }
    }
}

impl Recipe {
    /// The highest learning rate of the run.
    pub fn peak_learning_rate(&self) -> f64 {
        let task = self.model.task.unwrap_or(TaskKind::Classify);
        let default = self.method.kind.default_learning_rate(task);
        let scaled = default * self.train.learning_rate_multiplier;
        self.train.learning_rate.unwrap_or(scaled)
    }
}
