//! A run on a backend: load, freeze, open the run folder, train.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rekindle_dashboard::Tee;
use rekindle_data::LabelSet;
use rekindle_nn::{Adaptation, LoadReport, count, group, list};
use rekindle_train::events::{Event, Events, Finish, Load, Start};
use rekindle_train::method::{self, Anatomy};
use rekindle_train::recipe::{MethodKind, Precision};
use rekindle_train::run::{Control, metric};
use rekindle_train::stems::Still;
use rekindle_train::task::{TrainableBackend, TrainableModel};

use super::briefing::name_some;
use super::checkpoints::Found;
use super::fit::Fit;
use super::output::LOG;
use super::session::Session;
use super::{Briefing, Prepared, receipt};
use crate::architecture::{Architecture, UseModel};
use crate::backend::Job;
use crate::base::Base;
use crate::error::Error;
use crate::samples::ObservedTask;

/// A prepared run as a [`Job`].
pub(super) struct Training<'a> {
    pub(super) run: &'a Prepared,
    pub(super) events: &'a mut dyn Events,
    pub(super) control: &'a dyn Control,
    /// Rows of a forward pass, if they are to be fewer than the recipe says.
    pub(super) forward_rows: Option<usize>,
}

impl Job for Training<'_> {
    type Output = Result<Finish, Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let Prepared {
            recipe, objective, ..
        } = self.run;
        if !recipe.run.dtype.is_supported::<B>(device) {
            return Err(Error::Precision {
                backend: self.run.backend.found.backend,
            });
        }
        let architecture = self.architecture();
        architecture.with_model::<B, _>(objective, recipe, device, self)
    }
}

impl<B: TrainableBackend> UseModel<B> for Training<'_> {
    type Output = Result<Finish, Error>;

    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        self.train::<B, M, T>(&task, model)
    }
}

impl Training<'_> {
    /// The model's sizes, with the dropout of the recipe; a frozen body has none.
    fn architecture(&self) -> Architecture {
        let architecture = self.run.base.architecture.clone();
        let architecture = match self.run.recipe.model.dropout {
            Some(rate) => architecture.with_dropout(rate),
            None => architecture,
        };
        match self.run.recipe.method.kind {
            MethodKind::Head => architecture.with_still_body(),
            MethodKind::Full | MethodKind::LastLayers | MethodKind::Lora => architecture,
        }
    }

    /// The part of the model whose states can be kept.
    fn still(&self) -> Option<Still> {
        let recipe = &self.run.recipe;
        let trained = match recipe.method.kind {
            MethodKind::Head => 0,
            MethodKind::LastLayers => recipe.method.layers,
            MethodKind::Full | MethodKind::Lora => return None,
        };
        // What is kept is F32.
        let is_exact = recipe.run.dtype == Precision::F32;
        self.architecture().still(trained).filter(|_| is_exact)
    }

    /// Rows of a forward pass, where they are fewer than the recipe says.
    fn forward_rows(&self, found: Option<&Found>) -> Option<usize> {
        let saved = found.and_then(|found| found.progress().forward_rows);
        let rows = self.forward_rows.or(saved)?;
        Some(rows.min(self.run.recipe.train.batch_size))
    }

    fn train<B, M, T>(self, task: &T, model: M) -> Result<Finish, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let Prepared {
            recipe,
            base,
            objective,
            ..
        } = self.run;
        let is_kept = base.answers(objective);
        let still = self.still();
        let (model, report, adaptation) = self.run.load::<B, M>(model, is_kept)?;
        // The weights fit, so nothing that the user gave is at fault: now the folder may be made.
        let mut session = Session::open(self.run)?;
        let found = session.found.take();
        let mut records = self.run.folder.records(objective.task())?;
        let history = std::mem::take(&mut session.history);
        records.replay(&history);
        self.events.replay(&history);
        drop(history);
        let records = RefCell::new(records);
        let forward_rows = self.forward_rows(found.as_ref());
        let mut events = |event: Event| {
            records.borrow_mut().emit(event.clone());
            self.events.emit(event);
        };
        if found.is_none() {
            let counts = count(&list::<B, M>(&model));
            events.emit(Event::Start(self.run.start(&session, counts)));
            events.emit(Event::Load(load_event(report, &adaptation)));
            if !is_kept && base.has_head(objective.task()) {
                events.emit(other_head(base));
            }
        }
        for message in session.warnings.iter().cloned() {
            events.emit(Event::Warning { message });
        }
        let is_adapted = !adaptation.modules.is_empty();
        let fit = Fit {
            run: self.run,
            adapter: is_adapted.then(|| base.adapter_config(recipe, objective.task(), &adaptation)),
            session: &session,
            control: self.control,
            forward_rows,
            still,
            found,
            unlogged: &|| {
                unwritten(&records.borrow())
                    .find(|(file, _)| file == LOG)
                    .map(|(_, why)| why)
            },
        };
        let finish = fit.guarded(task, model, &mut events);
        if let Err(error) = &finish {
            let message = error.to_string();
            events.emit(Event::Failure { message });
        }
        for (_, message) in unwritten(&records.borrow()) {
            self.events.emit(Event::Warning { message });
        }
        let finish = finish.map_err(Error::after_start)?;
        receipt::write(self.run, &session.inputs, &finish).map_err(Error::after_start)?;
        Ok(finish)
    }
}

/// The files of the run that are not complete, each with the reason.
fn unwritten(records: &Tee<'static>) -> impl Iterator<Item = (String, String)> {
    let failures = records.failures();
    failures.map(|(file, error)| {
        (
            file.to_owned(),
            format!("`{file}` is not complete: {error}"),
        )
    })
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

fn load_event(report: LoadReport, adaptation: &Adaptation) -> Load {
    let adapted = group(&adaptation.modules).into_iter();
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
        adapted: adapted
            .map(|(layer, count)| format!("{count} × {layer}"))
            .collect(),
    }
}

impl Prepared {
    /// Fills a model with the base's weights, and makes it what the method trains.
    fn load<B, M>(&self, model: M, is_kept: bool) -> Result<(M, LoadReport, Adaptation), Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
    {
        let (base, recipe, task) = (&self.base, &self.recipe, self.objective.task());
        if let Some(adapted) = base.adapted.as_ref().filter(|_| !is_kept) {
            return Err(Error::OtherLabels {
                adapter: adapted.folder.clone(),
            });
        }
        let seed = recipe.train.seed;
        let (model, report) = base.load::<B, M>(model, task, is_kept, seed)?;
        let names = base.architecture.names(task);
        let anatomy = Anatomy {
            names: names.as_ref(),
            fresh: &report.fresh,
            task,
            seed,
        };
        let (model, adaptation) = method::apply::<B, M>(model, &recipe.method, &anatomy)?;
        let model = recipe.run.dtype.cast::<B, M>(model);
        Ok((model, report, adaptation))
    }

    fn start(&self, session: &Session, [trainable, parameters]: [usize; 2]) -> Start {
        let Briefing {
            notes,
            warnings: _,
            plan,
            samples: _,
            baseline,
        } = &self.briefing;
        let baseline = baseline
            .iter()
            .map(|line| format!("a model that learned nothing: {line}"));
        let metric = metric(&self.recipe.checkpoint, self.objective.task()).ok();
        let is_chosen = self.recipe.checkpoint.keep_best && !self.valid.is_empty();
        Start {
            run: self.folder.name(),
            task: self.objective.task().to_string(),
            model: self.recipe.model.source(),
            backend: session.backend.clone(),
            steps: self.plan.total_steps,
            epochs: self.plan.epochs(),
            train_rows: self.train.len(),
            valid_rows: self.valid.len(),
            trainable_parameters: trainable,
            parameters,
            state_bytes: self.state_bytes(trainable, parameters),
            metric: metric.filter(|_| is_chosen).map(str::to_owned),
            data: notes.iter().chain(plan).cloned().chain(baseline).collect(),
            environment: self.environment(),
        }
    }

    /// Bytes of the weights, and of a gradient, two moments and, of weights in bf16, a master in f32 for
    /// each trained number.
    fn state_bytes(&self, trainable: usize, parameters: usize) -> usize {
        match self.recipe.run.dtype {
            Precision::F32 => 4 * parameters + 12 * trainable,
            Precision::Bf16 => 2 * parameters + 16 * trainable,
        }
    }

    /// Versions and machine, by name.
    fn environment(&self) -> BTreeMap<String, String> {
        let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        let pairs = [
            ("rekindle", env!("CARGO_PKG_VERSION").to_owned()),
            ("burn", receipt::BURN.to_owned()),
            ("system", system),
            ("backend", self.backend.found.backend.to_owned()),
            ("device", self.backend.found.device.clone()),
            ("chosen because", self.backend.reason.clone()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
