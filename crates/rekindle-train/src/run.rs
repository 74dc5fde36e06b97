//! The training loop.

mod best;
mod plan;

use std::collections::HashMap;
use std::time::Instant;

use burn::module::AutodiffModule;
use rekindle_nn::{Model, Noise, ParameterPath};

use crate::batch::{Batch, Row};
use crate::error::TrainError;
use crate::evaluate::Runner;
use crate::events::{End, Evaluation, Event, Events, Finish, Step};
use crate::method::rate_factors;
use crate::optimizer::{AdamW, Gradients, clip_factor};
use crate::recipe::Recipe;
use crate::task::{Inner, Task, TrainableBackend};

use best::Best;
pub use best::metric;
pub use plan::Plan;

/// What a run trains on.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Training rows.
    pub train: &'a [Row],
    /// Validation rows; may be empty.
    pub valid: &'a [Row],
}

/// What a run calls while it goes on.
pub struct Hooks<'a, M> {
    /// Takes its events.
    pub events: &'a mut dyn Events,
    /// Keeps weights: the best so far, or the last.
    pub save: &'a mut SaveModel<'a, M>,
    /// Whether the user asks to stop; looked at after each step.
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// Keeps a model, or says why it cannot.
pub type SaveModel<'a, M> =
    dyn FnMut(&M) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Trains a model to the last step of its plan, and tells how it ended.
///
/// The model comes with its frozen parameters marked ([`crate::method::apply`]).
pub fn run<B, M, T>(
    recipe: &Recipe,
    runner: Runner<T>,
    model: M,
    data: Data,
    hooks: Hooks<M::InnerModule>,
) -> Result<(M, Finish), TrainError>
where
    B: TrainableBackend,
    M: Model<B> + AutodiffModule<B>,
    M::InnerModule: Model<Inner<B>>,
    T: Task<B, M> + Task<Inner<B>, M::InnerModule>,
{
    let plan = Plan::new(recipe, data.train);
    let best = Best::new(
        &recipe.checkpoint,
        runner.objective.task(),
        !data.valid.is_empty(),
    )?;
    let device = model.devices().remove(0);
    let optimizer = AdamW::new(recipe.train.weight_decay);
    let rate_factors = rate_factors::<B, M>(&model, recipe.method.layer_decay);
    let mut state = State {
        recipe,
        runner,
        data,
        plan,
        model: Some(model),
        optimizer,
        rate_factors,
        best,
        hooks,
        device,
        step: 0,
        clock: Clock::default(),
    };
    let mut is_interrupted = false;
    'epochs: for epoch in 0.. {
        let batches = state.plan.epoch(epoch);
        let mut total = Mean::default();
        let mut since_evaluation = Mean::default();
        for window in batches.chunks(recipe.train.accumulate) {
            let loss = state.step(window)?;
            total.add(loss);
            since_evaluation.add(loss);
            is_interrupted = (state.hooks.is_stopped)() && state.step < state.plan.total_steps;
            let is_last = is_interrupted || state.step == state.plan.total_steps;
            if state.plan.is_evaluation_due(state.step) || is_last {
                state.evaluate(std::mem::take(&mut since_evaluation).value())?;
            }
            if is_last {
                state.end_epoch(&total);
                break 'epochs;
            }
        }
        state.end_epoch(&total);
    }
    state.finish(is_interrupted)
}

/// A mean that carries its weight.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    fn value(self) -> f64 {
        self.sum / self.weight
    }
}

/// Time spent in training steps; the first one apart, since it compiles kernels on a GPU.
#[derive(Debug)]
struct Clock {
    start: Instant,
    epoch: f64,
    first: f64,
    warm: f64,
    warm_tokens: usize,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            epoch: 0.0,
            first: 0.0,
            warm: 0.0,
            warm_tokens: 0,
        }
    }
}

impl Clock {
    fn add(&mut self, is_first: bool, seconds: f64, tokens: usize) {
        self.epoch += seconds;
        if is_first {
            self.first = seconds;
        } else {
            self.warm += seconds;
            self.warm_tokens += tokens;
        }
    }

    fn tokens_per_second(&self) -> f64 {
        if self.warm > 0.0 {
            self.warm_tokens as f64 / self.warm
        } else {
            0.0
        }
    }
}

struct State<'a, 'h, B: TrainableBackend, M: AutodiffModule<B>, T> {
    recipe: &'a Recipe,
    runner: Runner<'a, T>,
    data: Data<'a>,
    plan: Plan,
    /// Taken while the optimizer moves it.
    model: Option<M>,
    optimizer: AdamW<Inner<B>>,
    /// Factor on the learning rate of each parameter.
    rate_factors: HashMap<String, f64>,
    best: Best,
    hooks: Hooks<'h, M::InnerModule>,
    device: B::Device,
    /// Steps taken.
    step: usize,
    clock: Clock,
}

impl<B, M, T> State<'_, '_, B, M, T>
where
    B: TrainableBackend,
    M: Model<B> + AutodiffModule<B>,
    M::InnerModule: Model<Inner<B>>,
    T: Task<B, M> + Task<Inner<B>, M::InnerModule>,
{
    fn model(&self) -> &M {
        self.model
            .as_ref()
            .expect("the model is away only inside `update`")
    }

    /// One optimizer step over a window of micro-batches; returns its loss.
    fn step(&mut self, window: &[Vec<usize>]) -> Result<Mean, TrainError> {
        let begun = Instant::now();
        let rows: Vec<Vec<&Row>> = window
            .iter()
            .map(|batch| batch.iter().map(|&index| &self.data.train[index]).collect())
            .collect();
        let all = || rows.iter().flatten().copied();
        let weight: f64 = all()
            .map(|row| self.runner.objective.weight(&row.target))
            .sum();
        let (gradients, loss_sum, correct) = self.accumulate(&rows, weight)?;
        let loss = Mean {
            sum: loss_sum,
            weight,
        };
        let number = self.step + 1;
        let finite = |what, value: f64| {
            let error = TrainError::NotFinite {
                what,
                step: number,
                value,
            };
            if value.is_finite() {
                Ok(value)
            } else {
                Err(error)
            }
        };
        finite("the loss", loss.value())?;
        let grad_norm = finite("the gradient norm", gradients.norm())?;
        let learning_rate = self.plan.schedule.learning_rate(self.step);
        self.update(
            gradients,
            clip_factor(grad_norm, self.recipe.train.max_grad_norm),
            learning_rate,
        );
        self.step = number;
        let tokens: usize = all().map(|row| row.ids.len()).sum();
        let seconds = begun.elapsed().as_secs_f64();
        self.clock.add(number == 1, seconds, tokens);
        self.hooks.events.emit(Event::Step(Step {
            step: number,
            epoch: self.plan.epochs_done(number),
            loss: loss.value(),
            accuracy: correct.map(|correct| correct as f64 / weight),
            learning_rate,
            grad_norm,
            tokens,
            examples: all().count(),
            seconds,
            tokens_per_second: tokens as f64 / seconds,
            memory_bytes: memory_stats::memory_stats().map(|memory| memory.physical_mem as u64),
        }));
        Ok(loss)
    }

    /// Gradients of the mean loss over a window, its summed loss, and how many classes were right.
    fn accumulate(
        &self,
        window: &[Vec<&Row>],
        weight: f64,
    ) -> Result<(Gradients<B>, f64, Option<usize>), TrainError> {
        let objective = self.runner.objective;
        let mut gradients = Gradients::default();
        let (mut loss_sum, mut correct) = (0.0, Some(0));
        for (micro_batch, rows) in window.iter().enumerate() {
            let mut batch = Batch::new(rows, self.runner.layout, &self.device);
            batch.rows = batch.rows.with_noise(Noise {
                seed: self.recipe.train.seed,
                step: self.step as u64,
                micro_batch: micro_batch as u64,
            });
            let logits = self.runner.task.logits(self.model(), batch);
            let targets: Vec<_> = rows.iter().map(|row| &row.target).collect();
            let loss = objective.loss_sum(logits.clone(), &targets);
            loss_sum += f64::from(loss.clone().into_data().iter::<f32>().sum::<f32>());
            let missing = gradients.add(self.model(), (loss / weight).backward());
            if !missing.is_empty() {
                return Err(TrainError::NoGradient(missing));
            }
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let mut rest = logits.as_slice();
            for target in targets {
                let (own, others) = rest.split_at(target.num_outputs() * objective.num_outputs());
                correct = correct
                    .zip(objective.correct(own, target))
                    .map(|(sum, new)| sum + new);
                rest = others;
            }
        }
        Ok((gradients, loss_sum, correct))
    }

    fn update(&mut self, gradients: Gradients<B>, clip: f64, learning_rate: f64) {
        let model = self
            .model
            .take()
            .expect("the model is put back at the end of `update`");
        let rate = |path: &ParameterPath| learning_rate * self.rate_factors[&path.name];
        self.model = Some(self.optimizer.step(model, gradients, clip, &rate));
    }

    /// Scores the validation rows, and keeps the weights if they are the best so far.
    fn evaluate(&mut self, train_loss: f64) -> Result<(), TrainError> {
        let begun = Instant::now();
        let mut evaluation = Evaluation {
            step: self.step,
            epoch: self.plan.epochs_done(self.step),
            train_loss: Some(train_loss),
            valid_loss: None,
            metrics: serde_json::Map::new(),
            details: serde_json::Map::new(),
            is_best: false,
            seconds: 0.0,
            tokens_per_second: self.clock.tokens_per_second(),
        };
        if !self.data.valid.is_empty() {
            let model = self.model().valid();
            let evaluated = self.runner.evaluate(&model, self.data.valid, &self.device);
            evaluation.is_best = self
                .best
                .offer(self.step, evaluated.loss, &evaluated.scores);
            evaluation.valid_loss = Some(evaluated.loss);
            evaluation.metrics = evaluated.scores.to_json();
            evaluation.details = evaluated.scores.details;
            if evaluation.is_best {
                (self.hooks.save)(&model).map_err(TrainError::Save)?;
            }
        }
        evaluation.seconds = begun.elapsed().as_secs_f64();
        self.best.last = Some(evaluation.clone());
        self.hooks.events.emit(Event::Evaluation(evaluation));
        Ok(())
    }

    /// Tells the loss of the epoch, with the numbers of an evaluation if one was made at its end.
    fn end_epoch(&mut self, loss: &Mean) {
        let tokens_per_second = self.clock.tokens_per_second();
        let seconds = std::mem::take(&mut self.clock.epoch);
        let at_end = self
            .best
            .last
            .clone()
            .filter(|evaluation| evaluation.step == self.step);
        let mut epoch = at_end.unwrap_or_else(|| Evaluation {
            step: self.step,
            epoch: self.plan.epochs_done(self.step),
            train_loss: None,
            valid_loss: None,
            metrics: serde_json::Map::new(),
            details: serde_json::Map::new(),
            is_best: false,
            seconds,
            tokens_per_second,
        });
        epoch.details.clear();
        self.hooks.events.emit(Event::Epoch(Evaluation {
            train_loss: Some(loss.value()),
            seconds,
            tokens_per_second,
            ..epoch
        }));
    }

    fn finish(mut self, is_interrupted: bool) -> Result<(M, Finish), TrainError> {
        let model = self
            .model
            .take()
            .expect("the model is away only inside `update`");
        if self.best.keeps_last() {
            (self.hooks.save)(&model.valid()).map_err(TrainError::Save)?;
        }
        let finish = Finish {
            steps: self.step,
            end: if is_interrupted {
                End::Interrupted
            } else {
                End::Completed
            },
            best_step: self.best.step().unwrap_or(self.step),
            metric: self.best.metric_name(),
            best: self.best.value(),
            seconds: self.clock.start.elapsed().as_secs_f64(),
            first_step_seconds: self.clock.first,
            step_seconds: self.clock.first + self.clock.warm,
            event_seconds: 0.0,
            tokens_per_second: self.clock.tokens_per_second(),
        };
        self.hooks.events.emit(Event::Finish(finish.clone()));
        Ok((model, finish))
    }
}
