//! Scoring the validation rows, keeping the best weights, and the numbers of an epoch.

use std::time::Instant;

use super::progress::General;
use super::{State, chain};
use crate::error::TrainError;
use crate::events::{Evaluation, Event, Sample};
use crate::task::{TrainableBackend, TrainableModel, TrainableTask};

/// Name of the loss on a general text among the numbers of an evaluation.
const GENERAL: &str = "general_loss";

impl<B, M, T> State<'_, '_, B, M, T>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    /// Scores the validation rows, and keeps the weights if they are the best so far, which it tells.
    pub(super) fn evaluate(&mut self) -> Result<bool, TrainError> {
        let begun = Instant::now();
        let step = self.progress.step;
        let train_loss = std::mem::take(&mut self.progress.loss_since_evaluation).value();
        let mut evaluation = self.unscored(train_loss);
        let general = self.measure()?;
        if !self.valid.is_empty() {
            let model = self.model().valid();
            let evaluated = self.score(&model)?;
            let best = &self.progress.best;
            let best = self
                .judge
                .after(best, step, evaluated.loss, &evaluated.scores);
            evaluation.valid_loss = Some(evaluated.loss);
            evaluation.metrics = evaluated.scores.to_json();
            evaluation.details = evaluated.scores.details;
            let is_best = best.step == Some(step);
            // Where the last weights are kept, the best are only waited for.
            let is_kept = self.judge.metric().is_some();
            if !is_best || !is_kept || self.keep(&model)? {
                evaluation.is_best = is_best && is_kept;
                self.progress.best = best;
            }
        }
        if let Some(loss) = general {
            evaluation.metrics.insert(GENERAL.to_owned(), loss.into());
            self.keep_general(loss, evaluation.is_best);
        }
        evaluation.seconds = begun.elapsed().as_secs_f64();
        let is_best = evaluation.is_best;
        self.evaluation = Some(evaluation.clone());
        // Before the evaluation, with which the page is written.
        self.answer_samples();
        self.emit(Event::Evaluation(evaluation));
        Ok(is_best)
    }

    /// The loss on the general text, where there is one.
    fn measure(&mut self) -> Result<Option<f64>, TrainError> {
        if self.hooks.general.is_none() {
            return Ok(None);
        }
        let model = self.model().valid();
        let measured = self.hooks.general.as_mut().map(|measure| measure(&model));
        measured.transpose().map_err(TrainError::General)
    }

    /// Measures the base before the first step of a run.
    pub(super) fn measure_base(&mut self) -> Result<(), TrainError> {
        if self.progress.general.is_none() {
            let before = self.measure()?;
            self.progress.general = before.map(|loss| General {
                before: loss,
                kept: loss,
            });
        }
        Ok(())
    }

    /// Measures the weights that are kept for being the last.
    pub(super) fn measure_last(&mut self) -> Result<(), TrainError> {
        if let Some(loss) = self.measure()? {
            self.keep_general(loss, true);
        }
        Ok(())
    }

    fn keep_general(&mut self, loss: f64, is_kept: bool) {
        if let Some(general) = self.progress.general.as_mut().filter(|_| is_kept) {
            general.kept = loss;
        }
    }

    fn answer_samples(&mut self) {
        let model = self.model().valid();
        let answer = self.hooks.sample.as_mut();
        let answers = answer.map(|answer| answer(&model)).unwrap_or_default();
        let step = self.progress.step;
        for (prompt, completion) in answers {
            self.emit(Event::Sample(Sample {
                step,
                prompt,
                completion,
            }));
        }
    }

    /// Keeps the best weights; false, with a warning, where they cannot be saved: those kept before
    /// then stay the best.
    fn keep(&mut self, model: &M::InnerModule) -> Result<bool, TrainError> {
        self.settle()?;
        let saved = (self.hooks.save)(model);
        if let Err(error) = &saved {
            let message = format!(
                "the best weights could not be saved, training goes on: {}",
                chain(error.as_ref())
            );
            self.emit(Event::Warning { message });
        }
        Ok(saved.is_ok())
    }

    /// Tells the loss of the epoch, with the numbers of an evaluation if one was made at its end.
    pub(super) fn end_epoch(&mut self) {
        let step = self.progress.step;
        let seconds = std::mem::take(&mut self.progress.clock.epoch);
        let train_loss = std::mem::take(&mut self.progress.epoch_loss).value();
        let at_end = self.evaluation.clone().filter(|found| found.step == step);
        let mut epoch = at_end.unwrap_or_else(|| self.unscored(train_loss));
        epoch.details.clear();
        self.emit(Event::Epoch(Evaluation {
            train_loss,
            seconds,
            ..epoch
        }));
    }

    /// What is known at a step without scoring any row.
    fn unscored(&self, train_loss: Option<f64>) -> Evaluation {
        Evaluation {
            step: self.progress.step,
            epoch: self.plan.epochs_done(self.progress.step),
            train_loss,
            valid_loss: None,
            metrics: serde_json::Map::new(),
            details: serde_json::Map::new(),
            is_best: false,
            seconds: 0.0,
            tokens_per_second: self.progress.clock.tokens_per_second(),
        }
    }
}
