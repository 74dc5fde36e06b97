//! A run folder in use: its lock, its records, and the checkpoint to go on from.

use rekindle_checkpoint::RunLock;
use rekindle_dashboard::Tee;
use rekindle_train::events::{Event, Events};

use super::Prepared;
use super::checkpoints::{Checkpoints, Found};
use super::inputs::Inputs;
use crate::error::Error;

/// All that a run holds open while it goes on.
pub(super) struct Session {
    /// Keeps other processes away.
    _lock: RunLock,
    pub(super) inputs: Inputs,
    /// The checkpoint to go on from.
    pub(super) found: Option<Found>,
    /// What the run told up to it.
    pub(super) history: Vec<Event>,
    /// What the user should know of the way here.
    pub(super) warnings: Vec<String>,
    /// Backend and device.
    pub(super) backend: String,
}

impl Session {
    /// Makes or takes the run's folder; nothing of an earlier part that is still needed is touched
    /// before it is known that the run may go on.
    pub(super) fn open(run: &Prepared) -> Result<Self, Error> {
        let Prepared {
            recipe,
            folder,
            base,
            backend,
            is_resumed,
            ..
        } = run;
        folder.create()?;
        let lock = RunLock::acquire(&folder.path)?;
        let inputs = Inputs::of(recipe, base)?;
        let backend = format!("{} ({})", backend.found.backend, backend.found.device);
        let store = folder.checkpoints();
        let mut warnings = Vec::new();
        let mut found = None;
        if *is_resumed {
            if let Err(error) = store.sweep() {
                warnings.push(format!(
                    "what an earlier save left cannot be removed: {error}"
                ));
            }
            let (newest, damaged) = Found::newest(&store)?;
            warnings.extend(damaged);
            found = newest;
        }
        if let Some(found) = &found {
            folder.refuse(inputs.differences(found.inputs()))?;
            if found.backend() != backend {
                warnings.push(format!(
                    "the run began on {}: from here on its numbers may differ by rounding",
                    found.backend()
                ));
            }
        }
        folder.write_recipe(recipe)?;
        let step = found.as_ref().map_or(0, |found| found.progress().step);
        let history = folder.cut_log(step)?;
        Ok(Self {
            _lock: lock,
            inputs,
            found,
            history,
            warnings,
            backend,
        })
    }

    /// The files that record the events, with what they held up to the checkpoint.
    pub(super) fn records(&self, run: &Prepared) -> Result<Tee<'static>, Error> {
        let mut records = run.folder.records(run.objective.task())?;
        records.replay(&self.history);
        Ok(records)
    }

    /// Saves the run's state from here on.
    pub(super) fn checkpoints<'a>(&'a self, run: &'a Prepared) -> Checkpoints<'a> {
        Checkpoints {
            folder: &run.folder,
            recipe: &run.recipe.checkpoint,
            inputs: &self.inputs,
            backend: &self.backend,
        }
    }
}
