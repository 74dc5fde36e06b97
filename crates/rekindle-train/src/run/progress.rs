//! How far a run is: what a checkpoint holds beside weights and moments.

use serde::{Deserialize, Serialize};

use super::best::Best;

/// All numbers that the next step depends on.
///
/// Nothing random has a state: the order of rows, dropout masks and fresh weights are functions of the
/// recipe's seed and of these counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: usize,
    /// Epochs done.
    pub epoch: usize,
    /// Steps taken in the epoch that is under way.
    pub position: usize,
    /// Updates that the optimizer made; steps that were left out are not among them.
    pub updates: u64,
    /// Rows of a forward pass, where a device with little memory takes fewer than the recipe says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_rows: Option<usize>,
    /// Steps left out one after the other.
    /// What the base's own objective loses; absent where it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) general: Option<General>,
    pub(super) skipped_in_a_row: usize,
    pub(super) epoch_loss: Mean,
    pub(super) loss_since_evaluation: Mean,
    pub(super) best: Best,
    pub(super) clock: Clock,
}

impl Progress {
    /// Step of the best evaluation.
    pub fn best_step(&self) -> Option<usize> {
        self.best.step
    }
}

/// Losses of the base's own objective on a general text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct General {
    /// Of the base.
    pub(super) before: f64,
    /// Of the weights that are kept.
    pub(super) kept: f64,
}

/// A mean that carries its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    pub(super) sum: f64,
    pub(super) weight: f64,
}

impl Mean {
    pub(super) fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    /// Nothing where nothing was added.
    pub(super) fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Seconds spent; those of the first step apart, since it compiles kernels on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clock {
    /// From the first step on, in the parts of the run before this one.
    pub(super) before: f64,
    /// In steps of the epoch that is under way.
    pub(super) epoch: f64,
    /// In the first step of the run.
    pub(super) first: f64,
    /// In steps after the first of each part.
    pub(super) warm: f64,
    warm_tokens: usize,
    /// In the first steps of parts after an interruption.
    again: f64,
    /// On telling events.
    pub(super) events: f64,
}

impl Clock {
    /// Adds a step; `is_first` in its process, which has kernels to compile.
    pub(super) fn add(&mut self, step: usize, is_first: bool, seconds: f64, tokens: usize) {
        self.epoch += seconds;
        match (is_first, step) {
            (true, 1) => self.first = seconds,
            (true, _) => self.again += seconds,
            (false, _) => {
                self.warm += seconds;
                self.warm_tokens += tokens;
            }
        }
    }

    pub(super) fn steps(&self) -> f64 {
        self.first + self.again + self.warm
    }

    pub(super) fn tokens_per_second(&self) -> f64 {
        if self.warm > 0.0 {
            self.warm_tokens as f64 / self.warm
        } else {
            0.0
        }
    }
}
