//! Which weights are the best so far, and whether waiting for better ones has been long enough.

use rekindle_data::TaskKind;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::CheckpointRecipe;
use crate::scores::{LOSS, Scores, is_higher_better, names};

/// Judges evaluations by one number.
#[derive(Debug)]
pub(super) struct Judge {
    /// Name of the number.
    metric: String,
    /// Whether the best weights are kept, and not the last ones.
    keeps_best: bool,
    /// Evaluations to wait for a better one; 0: for ever.
    patience: usize,
}

/// The best evaluation so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// Its step; `None` before the first evaluation.
    pub(super) step: Option<usize>,
    /// Its number; `None` where that is undefined (a correlation with a constant).
    pub(super) value: Option<f64>,
    /// Evaluations since.
    stale: usize,
}

/// Name of the number that chooses the best weights of a task.
pub fn metric(recipe: &CheckpointRecipe, task: TaskKind) -> Result<&str, TrainError> {
    let known = names(task);
    match recipe.metric.as_str() {
        "auto" => Ok(known[0]),
        name if name == LOSS || known.contains(&name) => Ok(name),
        _ => Err(TrainError::UnknownMetric {
            metric: recipe.metric.clone(),
            known,
        }),
    }
}

impl Judge {
    /// Refuses a recipe that asks for what cannot be judged.
    pub(super) fn new(
        recipe: &CheckpointRecipe,
        task: TaskKind,
        is_evaluated: bool,
    ) -> Result<Self, TrainError> {
        // What others read is named here too, so that a field nobody reads does not compile.
        let CheckpointRecipe {
            save_every: _,
            keep_last: _,
            keep_best,
            metric: _,
            patience,
        } = *recipe;
        if patience > 0 && !is_evaluated {
            return Err(TrainError::PatienceWithoutRows);
        }
        Ok(Self {
            metric: metric(recipe, task)?.to_owned(),
            keeps_best: keep_best && is_evaluated,
            patience,
        })
    }

    /// Name of the number, where it chooses the weights that are kept.
    pub(super) fn metric(&self) -> Option<&str> {
        self.keeps_best.then_some(self.metric.as_str())
    }

    /// What is the best after an evaluation; the evaluation itself if its step is the one given.
    ///
    /// Weights whose loss is not finite are no use, whatever else is said of them.
    pub(super) fn after(&self, best: &Best, step: usize, loss: f64, scores: &Scores) -> Best {
        let value = if self.metric == LOSS {
            Some(loss)
        } else {
            scores.get(&self.metric)
        };
        let value = value.filter(|value| !value.is_nan());
        let is_first = best.step.is_none();
        if loss.is_finite() && (is_first || self.is_better(value, best.value)) {
            return Best {
                step: Some(step),
                value,
                stale: 0,
            };
        }
        Best {
            stale: best.stale + 1,
            ..best.clone()
        }
    }

    /// An undefined number is better than none, and worse than any.
    fn is_better(&self, value: Option<f64>, best: Option<f64>) -> bool {
        match (value, best) {
            (Some(_), None) => true,
            (Some(value), Some(best)) if is_higher_better(&self.metric) => value > best,
            (Some(value), Some(best)) => value < best,
            (None, _) => false,
        }
    }

    /// Whether no better evaluation came for too long.
    pub(super) fn is_out_of_patience(&self, best: &Best) -> bool {
        self.patience > 0 && best.stale >= self.patience
    }
}
