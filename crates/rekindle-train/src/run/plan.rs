//! How many steps a run takes, and over which rows.

use rekindle_data::BatchPlan;

use crate::batch::RowSource;
use crate::recipe::{DEFAULT_EPOCHS, Every, Recipe, TrainRecipe};
use crate::schedule::Schedule;

/// The steps of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Learning rate by step.
    pub schedule: Schedule,
    /// Optimizer steps of an epoch; the last one may hold fewer rows.
    pub steps_per_epoch: usize,
    /// Optimizer steps of the run.
    pub total_steps: usize,
    batches: BatchPlan,
    accumulate: usize,
    evaluate_every: usize,
    save_every: usize,
}

impl Plan {
    /// Plans a run over these rows.
    pub fn new(recipe: &Recipe, rows: &dyn RowSource) -> Self {
        // What the loop itself reads is named here too, so that a field nobody reads does not compile.
        let TrainRecipe {
            epochs,
            max_steps,
            batch_size,
            accumulate,
            learning_rate: _,
            learning_rate_multiplier: _,
            schedule: _,
            warmup: _,
            weight_decay: _,
            max_grad_norm: _,
            seed,
            evaluate_every,
            log_every: _,
            samples: _,
        } = recipe.train;
        let lengths = (0..rows.len()).map(|index| rows.length(index)).collect();
        let batches = BatchPlan::new(lengths, recipe.data.batching, batch_size, seed);
        let batches = match recipe.data.max_length {
            Some(capacity) if recipe.data.pack => batches.packed(capacity),
            _ => batches,
        };
        let steps_per_epoch = batches.batches_per_epoch().div_ceil(accumulate);
        let total_steps = if max_steps > 0 {
            max_steps
        } else {
            epochs.unwrap_or(DEFAULT_EPOCHS) * steps_per_epoch
        };
        let interval = |every| match every {
            Every::Steps(steps) => steps,
            Every::Epoch(_) => steps_per_epoch,
        };
        let peak = recipe.peak_learning_rate();
        Self {
            schedule: Schedule::new(&recipe.train, peak, total_steps),
            steps_per_epoch,
            total_steps,
            batches,
            accumulate,
            evaluate_every: interval(evaluate_every),
            save_every: interval(recipe.checkpoint.save_every),
        }
    }

    /// Epochs that the steps make up, the last one perhaps in part.
    pub fn epochs(&self) -> usize {
        self.total_steps.div_ceil(self.steps_per_epoch)
    }

    /// The steps of an epoch counted from 0, each as micro-batches of indices of rows.
    pub(super) fn epoch(&self, epoch: usize) -> Vec<Vec<Vec<usize>>> {
        let batches = self.batches.epoch(epoch);
        let windows = batches.chunks(self.accumulate);
        windows.map(<[Vec<usize>]>::to_vec).collect()
    }

    pub(super) fn is_evaluation_due(&self, step: usize) -> bool {
        step.is_multiple_of(self.evaluate_every)
    }

    pub(super) fn is_save_due(&self, step: usize) -> bool {
        self.save_every > 0 && step.is_multiple_of(self.save_every)
    }

    /// Whether checkpoints are saved before the run is stopped.
    pub(super) fn saves(&self) -> bool {
        self.save_every > 0
    }

    pub(super) fn epochs_done(&self, step: usize) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }
}
