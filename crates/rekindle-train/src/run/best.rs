//! Which weights are the best so far.

use rekindle_data::TaskKind;

use crate::error::TrainError;
use crate::events::Evaluation;
use crate::recipe::CheckpointRecipe;
use crate::scores::{LOSS, Scores, is_higher_better, names};

/// The best evaluation so far, by one number.
#[derive(Debug)]
pub(super) struct Best {
    /// Name of the number; `None` where the last weights are kept.
    metric: Option<String>,
    /// Step and value.
    leader: Option<(usize, f64)>,
    /// The newest evaluation.
    pub(super) last: Option<Evaluation>,
}

/// Name of the number that chooses the best weights of a task.
pub fn metric(recipe: &CheckpointRecipe, task: TaskKind) -> Result<&str, TrainError> {
    let CheckpointRecipe {
        keep_best: _,
        metric,
    } = recipe;
    let known = names(task);
    match metric.as_str() {
        "auto" => Ok(known[0]),
        name if name == LOSS || known.contains(&name) => Ok(name),
        _ => Err(TrainError::UnknownMetric {
            metric: metric.clone(),
            known,
        }),
    }
}

impl Best {
    pub(super) fn new(
        recipe: &CheckpointRecipe,
        task: TaskKind,
        is_evaluated: bool,
    ) -> Result<Self, TrainError> {
        let metric = metric(recipe, task)?;
        let metric = (recipe.keep_best && is_evaluated).then(|| metric.to_owned());
        Ok(Self {
            metric,
            leader: None,
            last: None,
        })
    }

    /// Takes the numbers of a step; true if they are the best so far.
    pub(super) fn offer(&mut self, step: usize, loss: f64, scores: &Scores) -> bool {
        let Some(metric) = &self.metric else {
            return false;
        };
        let value = if metric == LOSS {
            Some(loss)
        } else {
            scores.get(metric)
        };
        // An undefined number (a correlation with a constant) is better than nothing, and worse than any.
        let worst = if is_higher_better(metric) {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        let value = value.unwrap_or(worst);
        let is_best = self.leader.is_none_or(|(_, best)| {
            if is_higher_better(metric) {
                value > best
            } else {
                value < best
            }
        });
        if is_best {
            self.leader = Some((step, value));
        }
        is_best
    }

    /// Whether the weights of the last step are the ones to keep.
    pub(super) fn keeps_last(&self) -> bool {
        self.metric.is_none()
    }

    pub(super) fn step(&self) -> Option<usize> {
        self.leader.map(|(step, _)| step)
    }

    pub(super) fn value(&self) -> Option<f64> {
        self.leader
            .map(|(_, value)| value)
            .filter(|value| value.is_finite())
    }

    pub(super) fn metric_name(&self) -> Option<String> {
        self.metric.clone()
    }
}
