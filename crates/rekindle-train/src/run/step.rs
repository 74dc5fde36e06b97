//! One optimizer step: forward, backward, clip, update.

use std::time::Instant;

use rekindle_nn::{Noise, ParameterPath};

use super::State;
use super::ahead::{Drawn, Window};
use super::progress::Mean;
use crate::batch::Row;
use crate::error::TrainError;
use crate::events::{Event, Skip, Step};
use crate::optimizer::{Gradients, clip_factor};
use crate::task::{Goal, TrainableBackend, TrainableModel, TrainableTask};

/// Updates left out one after the other after which the run ends.
const MAX_SKIPPED: usize = 5;

/// What the forward and backward passes of a step gave.
struct Passes<B: TrainableBackend> {
    /// Gradients of the mean loss.
    gradients: Gradients<B>,
    /// Summed, with the weight of the targets.
    loss: Mean,
    /// Weight of the targets that were right; absent for tasks without classes.
    correct: Option<f64>,
}

impl<B, M, T> State<'_, '_, B, M, T>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    /// One optimizer step over a window of micro-batches, whose rows were waited for since `begun`.
    pub(super) fn step(&mut self, window: &Window, begun: Instant) -> Result<(), TrainError> {
        let awake = B::awake();
        let passes = self.passes(window)?;
        // Its numbers are no reason to leave an update out.
        self.check_device()?;
        let step = self.progress.step + 1;
        let loss = passes.loss.sum / passes.loss.weight;
        let grad_norm = passes.gradients.norm();
        self.progress.step = step;
        self.progress.position += 1;
        for (what, value) in [("loss", loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return self.skip(what, value, window);
            }
        }
        self.progress.skipped_in_a_row = 0;
        let learning_rate = self.plan.schedule.learning_rate(step - 1);
        let clip = clip_factor(grad_norm, self.recipe.train.max_grad_norm);
        self.update(passes.gradients, clip, learning_rate);
        drop(awake);
        self.progress.epoch_loss.add(passes.loss);
        self.progress.loss_since_evaluation.add(passes.loss);
        let rows = || window.iter().flatten();
        let tokens: usize = rows().map(|drawn| drawn.row.ids.len()).sum();
        let examples = rows().count();
        let seconds = begun.elapsed().as_secs_f64();
        let is_first = std::mem::take(&mut self.is_cold);
        self.progress.clock.add(step, is_first, seconds, tokens);
        self.emit(Event::Step(Step {
            step,
            epoch: self.plan.epochs_done(step),
            loss,
            accuracy: passes.correct.map(|right| right / passes.loss.weight),
            learning_rate,
            grad_norm,
            tokens,
            examples,
            seconds,
            tokens_per_second: tokens as f64 / seconds,
            memory_bytes: memory_stats::memory_stats().map(|memory| memory.physical_mem as u64),
        }));
        Ok(())
    }

    /// Leaves the weights as they are, and gives up when that has happened too often.
    fn skip(&mut self, what: &str, value: f64, window: &Window) -> Result<(), TrainError> {
        let step = self.progress.step;
        let rows = window.iter().flatten();
        let rows: Vec<usize> = rows.map(|drawn| drawn.row.number).collect();
        self.progress.skipped_in_a_row += 1;
        let in_a_row = self.progress.skipped_in_a_row;
        self.emit(Event::Skip(Skip {
            step,
            epoch: self.plan.epochs_done(step),
            what: what.to_owned(),
            value: value.to_string(),
            rows: rows.clone(),
            in_a_row,
        }));
        if in_a_row < MAX_SKIPPED {
            return Ok(());
        }
        Err(TrainError::Diverged {
            what: what.to_owned(),
            value,
            step,
            in_a_row,
            rows,
        })
    }

    /// Forward and backward passes over a window of micro-batches, each cut to what the device can hold.
    fn passes(&mut self, window: &Window) -> Result<Passes<B>, TrainError> {
        let weight = window
            .iter()
            .flatten()
            .map(|drawn| self.runner.objective.weight(&drawn.row.target))
            .sum();
        let mut passes = Passes {
            gradients: Gradients::default(),
            loss: Mean { sum: 0.0, weight },
            correct: Some(0.0),
        };
        // Packs are cut only where the device cannot hold them.
        let is_whole = self.recipe.data.pack && self.progress.forward_rows.is_none();
        let piece = if is_whole {
            usize::MAX
        } else {
            self.runner.batch_size
        };
        let pieces = window.iter().flat_map(|batch| batch.chunks(piece));
        for (micro_batch, piece) in pieces.enumerate() {
            // Of special tokens alone, none can be hidden.
            let rows = piece
                .iter()
                .filter(|drawn| drawn.row.target.num_outputs() > 0);
            let rows: Vec<&Drawn> = rows.collect();
            if !rows.is_empty() {
                self.pass(micro_batch, &rows, &mut passes)?;
            }
        }
        Ok(passes)
    }

    /// Adds one forward and backward pass; each must reach every trained parameter.
    fn pass(
        &mut self,
        micro_batch: usize,
        drawn: &[&Drawn],
        passes: &mut Passes<B>,
    ) -> Result<(), TrainError> {
        let objective = self.runner.objective;
        self.hooks.control.on_forward(drawn.len());
        let indices: Vec<usize> = drawn.iter().map(|drawn| drawn.index).collect();
        let rows: Vec<&Row> = drawn.iter().map(|drawn| drawn.row.as_ref()).collect();
        let mut batch = self.batch(&indices, &rows)?;
        batch.rows = batch.rows.with_noise(Noise {
            seed: self.recipe.train.seed,
            step: self.progress.step as u64,
            micro_batch: micro_batch as u64,
        });
        let targets: Vec<_> = rows.iter().map(|row| &row.target).collect();
        let goal = Goal {
            objective,
            targets: &targets,
            weight: passes.loss.weight,
        };
        let model = self.model();
        let mut gradients = Gradients::default();
        let result = self.runner.task.pass(model, batch, goal, &mut gradients);
        let missing = gradients.missing(model);
        if !missing.is_empty() {
            return Err(TrainError::NoGradient(missing));
        }
        passes.gradients.merge(gradients);
        passes.loss.sum += result.loss;
        let mut rest = result.outputs.as_slice();
        for target in targets {
            let (own, others) = rest.split_at(target.num_outputs() * objective.num_outputs());
            let correct = objective.correct(own, target);
            passes.correct = passes.correct.zip(correct).map(|(sum, new)| sum + new);
            rest = others;
        }
        Ok(())
    }

    fn update(&mut self, gradients: Gradients<B>, clip: f64, learning_rate: f64) {
        let model = self
            .model
            .take()
            .expect("the model is put back at the end of `update`");
        let rate = |path: &ParameterPath| learning_rate * self.rate_factors[&path.name];
        self.model = Some(self.optimizer.step(model, gradients, clip, &rate));
    }
}
