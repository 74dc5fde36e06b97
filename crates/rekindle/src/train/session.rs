//! A run folder in use: its lock, its records, and the checkpoint to go on from.

use rekindle_checkpoint::RunLock;
use rekindle_hub::sweep_model;
use rekindle_train::events::Event;

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
            backend,
            is_resumed,
            ..
        } = run;
        folder.create()?;
        let lock = RunLock::acquire(&folder.path)?;
        if !is_resumed {
            // Another process may have been here since the run was planned.
            folder.refuse_occupied()?;
        }
        // From here on the folder is known as this run's, whatever happens.
        folder.write_recipe(recipe)?;
        sweep_model(&folder.model())?;
        let inputs = Inputs::of(run)?;
        let backend = format!("{} ({})", backend.found.backend, backend.found.device);
        let (found, mut warnings) = if *is_resumed {
            find(run, &inputs, &backend)?
        } else {
            (None, Vec::new())
        };
        let step = found.as_ref().map_or(0, |found| found.progress().step);
        let history = folder.cut_log(step)?;
        let is_step = |event: &&Event| matches!(event, Event::Step(_) | Event::Skip(_));
        let logged = history.iter().filter(is_step).count();
        if logged < step {
            warnings.push(format!(
                "`events.jsonl` lacks {} of the {step} steps before the checkpoint",
                step - logged
            ));
        }
        Ok(Self {
            _lock: lock,
            inputs,
            found,
            history,
            warnings,
            backend,
        })
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

/// The checkpoint to go on from, and what the user should know of it.
fn find(
    run: &Prepared,
    inputs: &Inputs,
    backend: &str,
) -> Result<(Option<Found>, Vec<String>), Error> {
    let store = run.folder.checkpoints();
    let mut warnings = Vec::new();
    if let Err(error) = store.sweep() {
        warnings.push(format!(
            "what an earlier save left cannot be removed: {error}"
        ));
    }
    let (found, damaged) = Found::newest(&store)?;
    warnings.extend(damaged);
    let Some(found) = found else {
        warnings.push("there is no checkpoint to go on from: the run starts over".to_owned());
        return Ok((None, warnings));
    };
    let differences = inputs.differences(found.inputs());
    if !differences.is_empty() {
        return Err(Error::OtherInputs {
            path: run.folder.path.clone(),
            differences,
        });
    }
    if found.backend() != backend {
        warnings.push(format!(
            "the run began on {}: from here on its numbers may differ by rounding",
            found.backend()
        ));
    }
    Ok((Some(found), warnings))
}
