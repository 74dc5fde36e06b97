//! A run on a backend: load, freeze, train, save, and read back what was saved.

use burn::module::AutodiffModule;
use rekindle_bert::BertConfig;
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{LoadReport, Model, count, list};
use rekindle_train::batch::Row;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{Event, Events, Finish, Load, Start};
use rekindle_train::method;
use rekindle_train::recipe::MethodKind;
use rekindle_train::run::{Data, Hooks, run};
use rekindle_train::task::{Inner, RowTask, TagTask, Task, TrainableBackend};

use super::Prepared;
use super::briefing::name_some;
use crate::backend::Job;
use crate::base::Base;
use crate::error::Error;

/// Rows whose logits are compared after saving.
const PROBED_ROWS: usize = 8;

/// Largest difference of a logit after saving and loading, relative to the largest logit: the weights
/// are the same numbers, and kernels may still add them up in another order.
const FAITHFUL: f32 = 1e-4;

/// A prepared run as a [`Job`].
pub(super) struct Training<'a> {
    pub(super) run: &'a Prepared,
    pub(super) events: &'a mut dyn Events,
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Job for Training<'_> {
    type Output = Result<Finish, Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let config = self.config();
        let num_outputs = self.run.objective.num_outputs();
        match self.run.objective.task() {
            TaskKind::Tag => self.train::<B, _, _>(&TagTask, config.tagger(num_outputs, device)),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress => {
                self.train::<B, _, _>(&RowTask, config.classifier(num_outputs, device))
            }
        }
    }
}

impl Training<'_> {
    /// The model's sizes, with the dropout of the recipe; a frozen body has none.
    fn config(&self) -> BertConfig {
        let config = self.run.base.config.clone();
        let config = match self.run.recipe.model.dropout {
            Some(rate) => config.with_dropout(rate),
            None => config,
        };
        match self.run.recipe.method.kind {
            MethodKind::Head => BertConfig {
                hidden_dropout: 0.0,
                attention_dropout: 0.0,
                ..config
            },
            MethodKind::Full | MethodKind::LastLayers => config,
        }
    }

    fn train<B, M, T>(self, task: &T, model: M) -> Result<Finish, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
        T: TrainableTask<B, M>,
    {
        let Prepared {
            recipe,
            backend,
            folder,
            base,
            objective,
            train,
            valid,
            ..
        } = self.run;
        let task_kind = objective.task();
        let is_kept = base.answers(objective);
        let (model, report) = base.load::<B, M>(model, task_kind, is_kept, recipe.train.seed)?;
        let model = method::apply::<B, M>(model, &recipe.method);
        // The weights fit, so nothing that the user gave is at fault: now the folder may be made.
        folder.create(recipe)?;
        let mut files = folder.sinks(task_kind)?;
        let mut events = |event: Event| {
            files.emit(event.clone());
            self.events.emit(event);
        };
        events.emit(Event::Start(self.run.start(count(&list::<B, M>(&model)))));
        events.emit(Event::Load(load_event(report)));
        if !is_kept && base.has_head(task_kind) {
            events.emit(other_head(base));
        }
        let device = model.devices().remove(0);
        let runner = Runner {
            task,
            objective,
            layout: backend.layout(),
            batch_size: recipe.train.batch_size,
        };
        let probe: &[Row] = if valid.is_empty() { train } else { valid };
        let probe = &probe[..probe.len().min(PROBED_ROWS)];
        let mut kept = Vec::new();
        let mut save = |model: &M::InnerModule| {
            base.save::<Inner<B>, _>(model, objective, &folder.model())?;
            kept = runner.logits(model, probe, &device);
            Ok(())
        };
        let hooks = Hooks {
            events: &mut events,
            save: &mut save,
            is_stopped: self.is_stopped,
        };
        let (model, finish) = run(recipe, runner, model, Data { train, valid }, hooks)?;
        let saved = Base::open(&folder.model())?;
        let (model, _) = saved.load::<Inner<B>, _>(model.valid(), task_kind, true, 0)?;
        let found = runner.logits(&model, probe, &device);
        compare(&kept, &found, folder)?;
        for (file, error) in files.failures() {
            let message = format!("`{file}` is not complete: {error}");
            self.events.emit(Event::Warning { message });
        }
        Ok(finish)
    }
}

/// Says that the base answers with other labels than the data's.
fn other_head(base: &Base) -> Event {
    let labels = base.labels();
    let names = labels.as_ref().map(LabelSet::names).unwrap_or_default();
    let message = format!(
        "the base's head is for another task or other labels ({}): a new one is made",
        name_some(names),
    );
    Event::Warning { message }
}

/// Refuses a saved model whose logits are not those that were in memory.
fn compare(kept: &[Vec<f32>], found: &[Vec<f32>], folder: &super::RunFolder) -> Result<(), Error> {
    let kept = kept.iter().flatten();
    let largest = kept
        .clone()
        .fold(1.0_f32, |most, logit| most.max(logit.abs()));
    let difference = kept
        .zip(found.iter().flatten())
        .map(|(kept, found)| (kept - found).abs())
        // `max` would drop a NaN.
        .fold(
            0.0_f32,
            |most, difference| if difference <= most { most } else { difference },
        );
    let allowed = FAITHFUL * largest;
    if difference <= allowed {
        return Ok(());
    }
    Err(Error::Unfaithful {
        path: folder.model(),
        difference,
        allowed,
    })
}

fn load_event(report: LoadReport) -> Load {
    let LoadReport {
        loaded,
        fresh,
        replaced,
        unused,
    } = report;
    Load {
        loaded,
        fresh,
        replaced: replaced.iter().map(ToString::to_string).collect(),
        unused,
    }
}

impl Prepared {
    fn start(&self, [trainable, parameters]: [usize; 2]) -> Start {
        /// Bytes of an f32.
        const NUMBER: usize = 4;
        let found = &self.backend.found;
        Start {
            run: self.folder.name(),
            task: self.objective.task().to_string(),
            model: self.recipe.model.base.clone(),
            backend: format!("{} ({})", found.backend, found.device),
            steps: self.plan.total_steps,
            epochs: self.plan.epochs(),
            train_rows: self.train.len(),
            valid_rows: self.valid.len(),
            trainable_parameters: trainable,
            parameters,
            // A gradient and two moments for each trained number.
            state_bytes: NUMBER * (parameters + 3 * trainable),
            metric: None,
            data: Vec::new(),
            environment: std::collections::BTreeMap::new(),
        }
    }
}
