//! What a run tells while it goes on. Sinks live in `rekindle-dashboard`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Receives the events of a run.
pub trait Events {
    /// Takes one event.
    fn emit(&mut self, event: Event);

    /// Takes what earlier parts of the run told; for those that show or hold all of a run.
    fn replay(&mut self, _history: &[Event]) {}
}

impl<F: FnMut(Event)> Events for F {
    fn emit(&mut self, event: Event) {
        self(event);
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    Start(Start),
    /// The base's weights were loaded.
    Load(Load),
    /// The run goes on from a checkpoint.
    Resume(Resume),
    /// An optimizer step was taken.
    Step(Step),
    /// A step's update was left out, since a number was not finite.
    Skip(Skip),
    /// The validation rows were scored.
    Evaluation(Evaluation),
    /// An epoch ended.
    Epoch(Evaluation),
    /// A prompt of the recipe was answered.
    Sample(Sample),
    /// All that the run needs to go on was saved.
    Checkpoint(Checkpoint),
    /// From here on, a forward pass takes fewer rows.
    Split(Split),
    /// Something that the user should know.
    Warning {
        /// What.
        message: String,
    },
    /// The run cannot go on.
    Failure {
        /// Why.
        message: String,
    },
    /// The run ended.
    Finish(Finish),
}

/// The plan of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Name of the run.
    pub run: String,
    /// Task.
    pub task: String,
    /// Model that it starts from.
    pub model: String,
    /// Backend and device.
    pub backend: String,
    /// Optimizer steps planned.
    pub steps: usize,
    /// Epochs planned.
    pub epochs: usize,
    /// Training rows.
    pub train_rows: usize,
    /// Validation rows.
    pub valid_rows: usize,
    /// Parameters that are trained.
    pub trainable_parameters: usize,
    /// All parameters.
    pub parameters: usize,
    /// Bytes of weights, gradients and optimizer state; activations come on top.
    pub state_bytes: usize,
    /// Name of the number that chooses the best weights; absent where the last ones are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// How the data was read and what it holds, as lines for people.
    pub data: Vec<String>,
    /// Versions and machine, by name.
    pub environment: BTreeMap<String, String>,
}

/// What became of the tensors of the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Read from the checkpoint.
    pub loaded: Vec<String>,
    /// Drawn from the seed.
    pub fresh: Vec<String>,
    /// Those of the fresh ones that the checkpoint has in another shape.
    pub replaced: Vec<String>,
    /// In the checkpoint, and not in the model.
    pub unused: Vec<String>,
    /// The layers with an adapter, by what they are called in every block.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapted: Vec<String>,
}

/// From where a run goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// Steps taken before.
    pub step: usize,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the step, from 1.
    pub step: usize,
    /// Epochs done after this step, with a fraction.
    pub epoch: f64,
    /// Mean loss over the step's targets.
    pub loss: f64,
    /// Share of the step's classes that were right; absent for tasks without classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Learning rate of the step, of the head where rates differ.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens read in the step, padding not counted.
    pub tokens: usize,
    /// Rows read in the step.
    pub examples: usize,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Tokens in a second of this step.
    pub tokens_per_second: f64,
    /// Resident memory of the process; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// A step whose update was left out; it takes the place of [`Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// Number of the step, from 1.
    pub step: usize,
    /// Epochs done after this step, with a fraction.
    pub epoch: f64,
    /// `loss` or `gradient norm`.
    pub what: String,
    /// Its value: `NaN`, `inf` or `-inf`.
    pub value: String,
    /// Numbers of the step's rows among the rows of the training files, from 1.
    pub rows: Vec<usize>,
    /// Steps left out one after the other, this one included.
    pub in_a_row: usize,
}

/// Losses and metrics at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Step after which it was made.
    pub step: usize,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// Mean training loss: since the last evaluation, or of the epoch; absent where all steps of that
    /// time were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Mean validation loss; absent without validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// The task's numbers.
    pub metrics: Map<String, Value>,
    /// Tables behind the numbers.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// Whether these are the best weights so far.
    pub is_best: bool,
    /// Seconds that the epoch's steps, or the evaluation, took.
    pub seconds: f64,
    /// Training tokens in a second, the first step of the run left out.
    pub tokens_per_second: f64,
}

/// What the model answers to a prompt of the recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Step after which it was asked.
    pub step: usize,
    /// The prompt.
    pub prompt: String,
    /// The answer.
    pub completion: String,
}

/// A saved checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Steps that it holds.
    pub step: usize,
    /// Its folder, within the run's.
    pub path: String,
    /// Size of its files.
    pub bytes: u64,
    /// Seconds that saving took.
    pub seconds: f64,
    /// Seconds of them spent on hashes.
    pub hash_seconds: f64,
}

/// The forward passes of a step after the device ran out of memory: fewer rows each, and more of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Steps taken before.
    pub step: usize,
    /// Rows of a forward pass.
    pub batch_size: usize,
    /// Forward passes of a step.
    pub accumulate: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// After its last planned step.
    Completed,
    /// The number that chooses the best weights got no better for the recipe's patience.
    StoppedEarly,
    /// The user stopped it.
    Interrupted,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Steps taken.
    pub steps: usize,
    /// How it ended.
    pub end: End,
    /// Step whose weights are kept.
    pub best_step: usize,
    /// Name of the number that chose them; absent where the last weights are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// Loss of the base's own objective on the general text, before training and of the kept weights; absent
    /// where it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub general: Option<[f64; 2]>,
    /// Step of the newest checkpoint; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<usize>,
    /// Seconds from the first step to the end, over all parts of an interrupted run.
    pub seconds: f64,
    /// Seconds of the first step, which compiles kernels on a GPU.
    pub first_step_seconds: f64,
    /// Seconds spent in steps.
    pub step_seconds: f64,
    /// Seconds spent on telling events.
    pub event_seconds: f64,
    /// Training tokens in a second, the first step left out.
    pub tokens_per_second: f64,
}
