//! The training loop.

mod ahead;
mod best;
mod evaluation;
mod plan;
mod progress;
mod step;
mod still;

use std::collections::HashMap;
use std::error::Error;
use std::thread;
use std::time::Instant;

use rekindle_data::TaskKind;
use rekindle_nn::{ExportedTensor, TensorSource, export_trainable, list, restore_trainable};

use crate::batch::{Row, RowSource};
use crate::error::TrainError;
use crate::evaluate::Runner;
use crate::events::{Checkpoint, End, Evaluation, Event, Events, Finish, Resume, Split};
use crate::method::rate_factors;
use crate::optimizer::AdamW;
use crate::recipe::Recipe;
use crate::stems::{Stems, Still};
use crate::task::{Inner, TrainableBackend, TrainableModel, TrainableTask};

use best::Judge;
pub use best::metric;
pub use plan::Plan;
use progress::General;
pub use progress::Progress;
use still::stems;

/// What a run trains, on what, and from where on.
pub struct Run<'a, T> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The task, and how rows are run through a model.
    pub runner: Runner<'a, T>,
    /// Training rows.
    pub train: &'a dyn RowSource,
    /// Validation rows; may be empty.
    pub valid: &'a [Row],
    /// What an earlier part of the run saved.
    pub from: Option<Saved<'a>>,
    /// Rows of a forward pass, if they are to be fewer than the recipe's or the saved ones.
    pub forward_rows: Option<usize>,
    /// The part of the model, which has to tell its [`rekindle_nn::Model::stem`], whose states are kept from
    /// epoch to epoch if memory allows.
    pub still: Option<Still>,
}

/// The state of a run as it was saved.
pub struct Saved<'a> {
    /// How far it was.
    pub progress: Progress,
    /// Its trainable parameters.
    pub weights: TensorSource<'a>,
    /// The optimizer's moments.
    pub moments: TensorSource<'a>,
}

/// The state of a run on its way into a checkpoint.
pub struct Snapshot<'a> {
    /// How far it is.
    pub progress: &'a Progress,
    /// Its trainable parameters.
    pub weights: Vec<ExportedTensor>,
    /// The optimizer's moments.
    pub moments: Vec<ExportedTensor>,
}

/// What a run calls while it goes on.
pub struct Hooks<'a, M> {
    /// Takes its events.
    pub events: &'a mut dyn Events,
    /// Keeps weights: the best so far, or the last.
    pub save: &'a mut SaveModel<'a, M>,
    /// Answers the recipe's prompts at each evaluation, if there are any.
    pub sample: Option<&'a mut SampleModel<'a, M>>,
    /// The loss of the base's own objective on a text that the run does not train on; without it, what the
    /// model forgets is not measured.
    pub general: Option<&'a mut MeasureModel<'a, M>>,
    /// Saves all that the run needs to go on; without it nothing is saved.
    pub checkpoint: Option<&'a mut SaveCheckpoint<'a>>,
    /// What happens around the run.
    pub control: &'a dyn Control,
}

/// Why something could not be saved.
pub type SaveFailure = Box<dyn Error + Send + Sync>;

/// Keeps a model, or says why it cannot.
pub type SaveModel<'a, M> = dyn FnMut(&M) -> Result<(), SaveFailure> + 'a;

/// Lets a model answer prompts: each prompt with its answer.
pub type SampleModel<'a, M> = dyn FnMut(&M) -> Vec<(String, String)> + 'a;

/// Measures a model, or says why it cannot.
pub type MeasureModel<'a, M> = dyn FnMut(&M) -> Result<f64, SaveFailure> + 'a;

/// Saves a run's state, or says why it cannot.
pub type SaveCheckpoint<'a> = dyn FnMut(Snapshot) -> Result<Checkpoint, SaveFailure> + 'a;

/// What happens around a run.
pub trait Control {
    /// Whether the user asks to stop; looked at after each step.
    fn is_stopped(&self) -> bool {
        false
    }

    /// A failure of the device that no call returned: drivers tell some on threads of their own.
    fn device_failure(&self) -> Option<String> {
        None
    }

    /// Comes before each forward pass of so many rows; a test panics in it as a device does.
    fn on_forward(&self, _rows: usize) {}
}

/// Nothing happens.
impl Control for () {}

/// Refuses a recipe whose choice of the best weights does not suit the task or the rows.
pub fn check(recipe: &Recipe, task: TaskKind, has_valid_rows: bool) -> Result<(), TrainError> {
    Judge::new(&recipe.checkpoint, task, has_valid_rows).map(drop)
}

/// Trains a model to the last step of its plan, and tells how it ended.
///
/// The model comes with its frozen parameters marked ([`crate::method::apply`]).
pub fn run<B, M, T>(
    run: Run<T>,
    model: M,
    hooks: Hooks<M::InnerModule>,
) -> Result<(M, Finish), TrainError>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let mut state = State::new(run, model, hooks)?;
    let end = state.train()?;
    state.finish(end)
}

const MODEL_IS_THERE: &str = "the model is away only inside `update`";

const ROWS_GO_ON: &str = "rows are made as long as someone takes them";

struct State<'a, 'h, B: TrainableBackend, M: TrainableModel<B>, T> {
    recipe: &'a Recipe,
    runner: Runner<'a, T>,
    train: &'a dyn RowSource,
    valid: &'a [Row],
    plan: Plan,
    judge: Judge,
    hooks: Hooks<'h, M::InnerModule>,
    device: B::Device,
    /// Factor on the learning rate of each parameter.
    rate_factors: HashMap<String, f64>,
    /// Taken while the optimizer moves it.
    model: Option<M>,
    optimizer: AdamW<Inner<B>>,
    progress: Progress,
    /// States that are kept, of training and validation rows.
    stems: Option<[Stems; 2]>,
    /// The newest evaluation.
    evaluation: Option<Evaluation>,
    /// When this process began.
    begun: Instant,
    /// Whether this process took no step yet.
    is_cold: bool,
    /// Step of the newest checkpoint.
    saved: Option<usize>,
}

impl<'a, 'h, B, M, T> State<'a, 'h, B, M, T>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    fn new(
        run: Run<'a, T>,
        model: M,
        hooks: Hooks<'h, M::InnerModule>,
    ) -> Result<Self, TrainError> {
        let Run {
            recipe,
            mut runner,
            train,
            valid,
            from,
            forward_rows,
            still,
        } = run;
        let task = runner.objective.task();
        let device = model.devices().remove(0);
        let is_resumed = from.is_some();
        let decay = recipe.train.weight_decay;
        let (model, optimizer, mut progress) = match from {
            Some(saved) => restored::<B, M>(model, saved, (decay, &device))?,
            None => (model, AdamW::new(decay), Progress::default()),
        };
        let is_split = forward_rows.is_some() && forward_rows != progress.forward_rows;
        progress.forward_rows = forward_rows.or(progress.forward_rows);
        let batch_size = recipe.train.batch_size;
        runner.batch_size = progress
            .forward_rows
            .map_or(batch_size, |rows| rows.min(batch_size));
        let step = progress.step;
        let plan = Plan::new(recipe, train);
        // States are worth keeping if rows come again; packs would have to be cut.
        let still = still.filter(|_| plan.epochs() > 1 && train.are_fixed() && !recipe.data.pack);
        let stems = still.and_then(|still| {
            let rows: [&dyn RowSource; 2] = [train, &valid];
            stems::<B, M, T>(still, &runner, &model, rows)
        });
        let mut state = Self {
            recipe,
            runner,
            train,
            valid,
            stems,
            plan,
            judge: Judge::new(&recipe.checkpoint, task, !valid.is_empty())?,
            hooks,
            device,
            rate_factors: rate_factors::<B, M>(&model, recipe.method.layer_decay),
            model: Some(model),
            optimizer,
            progress,
            evaluation: None,
            begun: Instant::now(),
            is_cold: true,
            saved: is_resumed.then_some(step),
        };
        if is_resumed {
            state.emit(Event::Resume(Resume { step }));
        }
        if is_split {
            state.tell_split();
        }
        Ok(state)
    }

    fn model(&self) -> &M {
        self.model.as_ref().expect(MODEL_IS_THERE)
    }

    fn emit(&mut self, event: Event) {
        let begun = Instant::now();
        self.hooks.events.emit(event);
        self.progress.clock.events += begun.elapsed().as_secs_f64();
    }

    fn tell_split(&mut self) {
        let pieces = self
            .recipe
            .train
            .batch_size
            .div_ceil(self.runner.batch_size);
        self.emit(Event::Split(Split {
            step: self.progress.step,
            batch_size: self.runner.batch_size,
            accumulate: self.recipe.train.accumulate * pieces,
        }));
    }

    /// Steps until the run ends.
    fn train(&mut self) -> Result<End, TrainError> {
        // A run may have been killed between its last step and its end.
        if let Some(end) = self.end() {
            return Ok(end);
        }
        self.measure_base()?;
        let from = (self.progress.epoch, self.progress.position);
        thread::scope(|scope| {
            let windows = ahead::windows(scope, (self.plan.clone(), self.train), from);
            loop {
                let begun = Instant::now();
                let window = windows.recv().expect(ROWS_GO_ON);
                let window = window.map_err(|(index, failure)| TrainError::row(index)(failure))?;
                self.step(&window, begun)?;
                if let Some(end) = self.after_step()? {
                    return Ok(end);
                }
            }
        })
    }

    /// Why there is no further step.
    fn end(&self) -> Option<End> {
        if self.progress.step == self.plan.total_steps {
            Some(End::Completed)
        } else if self.judge.is_out_of_patience(&self.progress.best) {
            Some(End::StoppedEarly)
        } else {
            None
        }
    }

    /// Evaluates, ends the epoch and saves, each where it is due; tells why the run ends, if it does.
    fn after_step(&mut self) -> Result<Option<End>, TrainError> {
        let step = self.progress.step;
        let mut is_best = false;
        if self.plan.is_evaluation_due(step) || step == self.plan.total_steps {
            is_best = self.evaluate()?;
        }
        let end = self.end();
        let is_last_of_epoch = self.progress.position == self.plan.steps_per_epoch;
        if is_last_of_epoch || end.is_some() {
            self.end_epoch();
        }
        if is_last_of_epoch {
            self.progress.epoch += 1;
            self.progress.position = 0;
        }
        let is_stopped = end.is_none() && self.hooks.control.is_stopped();
        let is_worth_saving = self.plan.saves() && (is_best || end.is_some());
        if self.plan.is_save_due(step) || is_worth_saving || is_stopped {
            self.save_checkpoint()?;
        }
        Ok(end.or(is_stopped.then_some(End::Interrupted)))
    }

    /// Saves all that the run needs to go on; where that fails, it goes on with a warning.
    fn save_checkpoint(&mut self) -> Result<(), TrainError> {
        self.settle()?;
        let Some(save) = &mut self.hooks.checkpoint else {
            return Ok(());
        };
        self.progress.updates = self.optimizer.count();
        let mut progress = self.progress.clone();
        progress.clock.before += self.begun.elapsed().as_secs_f64();
        let model = self.model.as_ref().expect(MODEL_IS_THERE);
        let snapshot = Snapshot {
            progress: &progress,
            weights: export_trainable::<B, M>(model),
            moments: self.optimizer.export(),
        };
        let event = match save(snapshot) {
            Ok(checkpoint) => {
                self.saved = Some(progress.step);
                Event::Checkpoint(checkpoint)
            }
            Err(error) => Event::Warning {
                message: format!(
                    "no checkpoint of step {}, the next one is tried in its turn: {}",
                    progress.step,
                    chain(error.as_ref())
                ),
            },
        };
        self.emit(event);
        Ok(())
    }

    /// Waits for the device, so that nothing is saved that a failure of it has spoiled.
    fn settle(&self) -> Result<(), TrainError> {
        if let Err(error) = B::sync(&self.device) {
            let message = format!("{error:?}");
            return Err(TrainError::Device { message });
        }
        self.check_device()
    }

    /// An error if a driver has told of one.
    fn check_device(&self) -> Result<(), TrainError> {
        match self.hooks.control.device_failure() {
            Some(message) => Err(TrainError::Device { message }),
            None => Ok(()),
        }
    }

    fn seconds(&self) -> f64 {
        self.progress.clock.before + self.begun.elapsed().as_secs_f64()
    }

    /// Keeps the last weights; those of a run that will go on may be missing.
    fn keep_last(&mut self, end: End) -> Result<(), TrainError> {
        let model = self.model().valid();
        match (self.hooks.save)(&model) {
            Err(error) if end == End::Interrupted => {
                let message = format!("the weights could not be saved: {}", chain(error.as_ref()));
                self.emit(Event::Warning { message });
                Ok(())
            }
            saved => saved.map_err(TrainError::Save),
        }
    }

    fn finish(mut self, end: End) -> Result<(M, Finish), TrainError> {
        self.settle()?;
        let metric = self.judge.metric().map(str::to_owned);
        let best = self.progress.best.clone();
        let chosen = best.step.filter(|_| metric.is_some());
        let (best_step, value) = if let Some(step) = chosen {
            (step, best.value)
        } else {
            self.keep_last(end)?;
            self.measure_last()?;
            (self.progress.step, None)
        };
        let clock = &self.progress.clock;
        let finish = Finish {
            steps: self.progress.step,
            end,
            best_step,
            metric,
            best: value,
            general: self
                .progress
                .general
                .map(|General { before, kept }| [before, kept]),
            checkpoint: self.saved,
            seconds: self.seconds(),
            first_step_seconds: clock.first,
            step_seconds: clock.steps(),
            event_seconds: clock.events,
            tokens_per_second: clock.tokens_per_second(),
        };
        self.hooks.events.emit(Event::Finish(finish.clone()));
        let model = self.model.take().expect(MODEL_IS_THERE);
        Ok((model, finish))
    }
}

/// What an earlier part of a run left: the model, the optimizer, and how far it was.
fn restored<B: TrainableBackend, M: TrainableModel<B>>(
    model: M,
    saved: Saved,
    (weight_decay, device): (f64, &B::Device),
) -> Result<(M, AdamW<Inner<B>>, Progress), TrainError> {
    let model = restore_trainable::<B, M>(model, &saved.weights)?;
    let trained = list::<B, M>(&model).into_iter().filter(|p| p.is_trainable);
    let optimizer = AdamW::restore(
        weight_decay,
        saved.progress.updates,
        trained.map(|p| (p.path.name, p.shape.iter().product())),
        &saved.moments,
        device,
    )?;
    Ok((model, optimizer, saved.progress))
}

/// An error with its causes, as one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
