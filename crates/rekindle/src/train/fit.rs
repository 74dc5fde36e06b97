//! Training with a run folder open: checkpoints, the best model, and the proof that it was saved right.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::backend::Backend;
use rekindle_hub::AdapterConfig;
use rekindle_hub::StoredType;
use rekindle_nn::{Model, restore_trainable};
use rekindle_train::batch::{Layout, Row, RowSource};
use rekindle_train::error::TrainError;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::{End, Events, Finish};
use rekindle_train::run::{Control, Hooks, Run, SaveFailure, run};
use rekindle_train::stems::Still;
use rekindle_train::task::{Inner, TrainableBackend, TrainableModel};

use super::Prepared;
use super::checkpoints::Found;
use super::session::Session;
use crate::base::{Base, Tensors};
use crate::error::Error;
use crate::faithful::compare;
use crate::general::General;
use crate::samples::{ObservedTask, Samples};
use crate::texts::first;

/// Rows whose logits are compared after saving.
const PROBED_ROWS: usize = 8;

/// A run whose folder is open.
pub(super) struct Fit<'a> {
    pub(super) run: &'a Prepared,
    /// The adapter that is trained, where it is one.
    pub(super) adapter: Option<AdapterConfig>,
    pub(super) session: &'a Session,
    /// The checkpoint to go on from.
    pub(super) found: Option<Found>,
    pub(super) control: &'a dyn Control,
    /// Rows of a forward pass, where they are fewer than the recipe says.
    pub(super) forward_rows: Option<usize>,
    /// The part of the model whose states can be kept.
    pub(super) still: Option<Still>,
    /// What is missing in the log of the run's events.
    pub(super) unlogged: &'a dyn Fn() -> Option<String>,
}

impl<'a> Fit<'a> {
    /// Trains; a device that fails, which Burn tells by a panic, becomes an error.
    pub(super) fn guarded<B, M, T>(
        self,
        task: &T,
        model: M,
        events: &mut dyn Events,
    ) -> Result<Finish, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let Prepared { recipe, folder, .. } = self.run;
        let forward_rows = self.forward_rows.unwrap_or(recipe.train.batch_size);
        let control = self.control;
        // After a panic nothing of this is used again.
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.train::<B, M, T>(task, model, events)
        }));
        let message = match result {
            Ok(Err(Error::Train(TrainError::Device { message }))) => message,
            Ok(result) => return result,
            Err(panic) => told(panic.as_ref()),
        };
        // What a call returns may only be the echo of what a driver told on a thread of its own.
        let message = control.device_failure().unwrap_or(message);
        Err(Error::Device {
            is_out_of_memory: is_out_of_memory(&message),
            message,
            folder: folder.path.clone(),
            forward_rows,
        })
    }

    fn train<B, M, T>(
        mut self,
        task: &T,
        model: M,
        events: &mut dyn Events,
    ) -> Result<Finish, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let Prepared {
            recipe,
            folder,
            base,
            objective,
            train,
            valid,
            ..
        } = self.run;
        let device = model.devices().remove(0);
        let runner = Runner {
            task,
            objective,
            layout: self.layout(),
            batch_size: self.forward_rows.unwrap_or(recipe.train.batch_size),
        };
        let probe = &self.run.probe()?;
        let adapter = self.adapter.take();
        let (mut kept, mut scaffold) = (Vec::new(), Tensors::new());
        let mut save = |model: &M::InnerModule| {
            self.run.save::<Inner<B>, _>(model, adapter.as_ref())?;
            kept = runner.outputs(model, probe, &device);
            scaffold = base.scaffold::<Inner<B>, _>(model, objective.task());
            Ok(())
        };
        let model = self.keep_best::<B, M>(model, &mut save)?;
        let checkpoints = self.session.checkpoints(self.run);
        let samples = Samples::new(base, &self.run.samples);
        let general = self.general(runner.batch_size);
        let mut measure = |model: &M::InnerModule| Ok(task.general_loss(model, &general)?);
        let hooks = Hooks {
            events,
            save: &mut save,
            sample: Some(&mut |model| task.answers(model, &samples)),
            general: (!general.rows.is_empty()).then_some(&mut measure),
            // A checkpoint stands for the log up to it.
            checkpoint: Some(&mut |snapshot| match (self.unlogged)() {
                Some(missing) => Err(missing.into()),
                None => checkpoints.save(snapshot),
            }),
            control: self.control,
        };
        let of_rows = Run {
            recipe,
            runner,
            train: train.as_ref(),
            valid,
            from: self.found.take().map(Found::into_saved),
            forward_rows: self.forward_rows,
            still: self.still,
        };
        let (model, finish) = run(of_rows, model, hooks)?;
        if finish.end == End::Interrupted && !folder.model().exists() {
            return Ok(finish);
        }
        let saved = self.run.saved(adapter.is_some())?;
        let model = saved.reload::<Inner<B>, _>(model.valid(), objective.task(), &scaffold)?;
        let model = recipe.run.dtype.cast::<Inner<B>, _>(model);
        let found = runner.outputs(&model, probe, &device);
        compare(&kept, &found, (&folder.model(), StoredType::F32))?;
        Ok(finish)
    }

    /// The text on which it is measured what the model forgets.
    fn general(&self, batch_size: usize) -> General<'a> {
        General {
            base: &self.run.base,
            task: self.run.objective.task(),
            rows: &self.run.general,
            layout: self.layout(),
            batch_size,
        }
    }

    fn layout(&self) -> Layout {
        let Prepared {
            recipe, backend, ..
        } = self.run;
        match recipe.data.max_length {
            Some(capacity) if recipe.data.pack => backend.layout().packed(capacity),
            _ => backend.layout(),
        }
    }

    /// Puts the best weights of the earlier part into the run's model folder: what lies there may come
    /// from steps after the checkpoint, which are now forgotten.
    fn keep_best<B, M>(
        &self,
        model: M,
        save: &mut dyn FnMut(&M::InnerModule) -> Result<(), SaveFailure>,
    ) -> Result<M, Error>
    where
        B: TrainableBackend,
        M: TrainableModel<B>,
    {
        let found = self.found.as_ref();
        let best = found.and_then(|found| found.progress().best_step());
        let best = best.filter(|_| self.run.recipe.checkpoint.keep_best);
        let Some(best) = best.and_then(|step| Found::of(&self.run.folder.checkpoints(), step))
        else {
            return Ok(model);
        };
        let restored = restore_trainable::<B, M>(model, &best.into_saved().weights)?;
        save(&restored.valid()).map_err(TrainError::Save)?;
        Ok(restored)
    }
}

impl Prepared {
    /// The rows whose outputs are compared after saving.
    fn probe(&self) -> Result<Vec<Row>, Error> {
        let rows: &dyn RowSource = match self.valid.as_slice() {
            [] => self.train.as_ref(),
            _ => &self.valid,
        };
        first(rows, PROBED_ROWS).map_err(Error::Lesson)
    }

    /// Writes the run's model: all of it, or the adapter that it is trained as.
    fn save<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        adapter: Option<&AdapterConfig>,
    ) -> Result<(), Error> {
        let (objective, to) = (&self.objective, self.folder.model());
        match adapter {
            Some(adapter) => self
                .base
                .save_adapter::<B, M>(model, objective, adapter, &to),
            None => self.base.save::<B, M>(model, objective, &to),
        }
    }

    /// Opens what was written; of an adapter, on the base of this run.
    fn saved(&self, is_adapter: bool) -> Result<Base, Error> {
        let folder = self.folder.model();
        if is_adapter {
            Base::open_adapter(&folder, Some(&self.base.folder))
        } else {
            Base::open_model(&folder)
        }
    }
}

/// What a panic says.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say why").to_owned()
}

/// Whether a device had no room: each driver says it in its own words.
fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "out of memory",
        "outofmemory",
        "out_of_memory",
        "buffertoobig",
    ]
    .iter()
    .any(|words| message.contains(words))
}
