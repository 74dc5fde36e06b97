//! Lines of a log, read leniently: what another version left out has its default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::State;

/// When something happened, and what kind of thing it is.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
}

impl Head<'_> {
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// The plan of a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Start {
    pub(crate) run: String,
    pub(crate) task: String,
    pub(crate) model: String,
    pub(crate) backend: String,
    pub(crate) steps: usize,
    pub(crate) epochs: usize,
    pub(crate) train_rows: usize,
    pub(crate) valid_rows: usize,
    pub(crate) trainable_parameters: usize,
    pub(crate) parameters: usize,
    pub(crate) state_bytes: usize,
    pub(crate) metric: Option<String>,
    pub(crate) data: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// Tensors of the base that do not fit.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Load {
    pub(super) replaced: Vec<String>,
}

/// An event that tells a step.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Resume {
    pub(super) step: usize,
}

/// An optimizer step; a number that was not finite is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepRecord {
    pub(crate) step: usize,
    pub(crate) epoch: f64,
    pub(crate) loss: Option<f64>,
    pub(crate) learning_rate: Option<f64>,
    pub(crate) grad_norm: Option<f64>,
    pub(crate) tokens_per_second: Option<f64>,
    pub(crate) memory_bytes: Option<f64>,
}

/// A step that was left out.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Skip {
    pub(super) step: usize,
    pub(super) epoch: f64,
    pub(super) what: String,
    pub(super) value: String,
    pub(super) rows: Vec<usize>,
}

/// Losses and metrics of an evaluation or an epoch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scores {
    pub(crate) step: usize,
    pub(crate) epoch: f64,
    pub(crate) train_loss: Option<f64>,
    pub(crate) valid_loss: Option<f64>,
    pub(crate) metrics: Map<String, Value>,
    pub(crate) details: Map<String, Value>,
    pub(crate) is_best: bool,
    pub(crate) seconds: Option<f64>,
    pub(crate) tokens_per_second: Option<f64>,
}

/// A saved checkpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Checkpoint {
    pub(crate) step: usize,
    pub(crate) bytes: u64,
}

/// Fewer rows a forward pass.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Split {
    pub(super) step: usize,
    pub(super) batch_size: usize,
    pub(super) accumulate: usize,
}

/// A text for people.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    pub(super) message: String,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Finish {
    pub(crate) steps: usize,
    /// `completed`, `stopped-early` or `interrupted`.
    end: String,
    /// What logs had before they had `end`.
    is_interrupted: bool,
    pub(crate) best_step: usize,
    pub(crate) metric: Option<String>,
    pub(crate) seconds: Option<f64>,
    pub(crate) first_step_seconds: Option<f64>,
    pub(crate) tokens_per_second: Option<f64>,
}

impl Finish {
    pub(super) fn state(&self) -> State {
        match self.end.as_str() {
            "interrupted" => State::Interrupted,
            "stopped-early" => State::StoppedEarly,
            _ if self.is_interrupted => State::Interrupted,
            _ => State::Finished,
        }
    }
}
