//! The checkpoints of a run: what is in one, when old ones go, and how a run is read back.

use std::cell::Cell;
use std::error::Error as StdError;
use std::io::Write;
use std::path::Path;

use rekindle_checkpoint::{Checkpoint, Content, Store};
use rekindle_hub::{NamedTensor, TensorFile, write_tensors};
use rekindle_nn::{ExportedTensor, TensorSource};
use rekindle_train::events;
use rekindle_train::recipe::CheckpointRecipe;
use rekindle_train::run::{Progress, SaveFailure, Saved, Snapshot};
use serde::{Deserialize, Serialize};

use super::inputs::Inputs;
use super::output::RunFolder;
use crate::error::Error;

/// Trainable parameters, under their own names.
const WEIGHTS: &str = "weights.safetensors";
/// The optimizer's moments.
const MOMENTS: &str = "optimizer.safetensors";
/// All else, as [`State`].
const STATE: &str = "state.json";

/// What a checkpoint holds beside tensors.
#[derive(Serialize, Deserialize)]
struct State {
    progress: Progress,
    inputs: Inputs,
    /// Backend and device.
    backend: String,
}

/// Saves the state of a run.
pub(super) struct Checkpoints<'a> {
    pub(super) folder: &'a RunFolder,
    pub(super) recipe: &'a CheckpointRecipe,
    pub(super) inputs: &'a Inputs,
    pub(super) backend: &'a str,
}

impl Checkpoints<'_> {
    /// Saves a snapshot and removes what is no longer needed.
    pub(super) fn save(&self, snapshot: Snapshot) -> Result<events::Checkpoint, SaveFailure> {
        let Snapshot {
            progress,
            weights,
            moments,
        } = snapshot;
        // They are on the disk before it is.
        self.folder.sync_records()?;
        let state = State {
            progress: progress.clone(),
            inputs: self.inputs.clone(),
            backend: self.backend.to_owned(),
        };
        let contents = vec![
            tensors(WEIGHTS, weights),
            tensors(MOMENTS, moments),
            Content::new(STATE, |out| serde_json::to_writer_pretty(out, &state)),
        ];
        let store = self.folder.checkpoints();
        let saved = store.save(progress.step, contents)?;
        // What cannot be removed now is tried again after the next save.
        let _ = store.prune(
            progress.step,
            self.recipe.keep_last,
            &self.best_steps(&store),
        );
        Ok(events::Checkpoint {
            step: progress.step,
            path: self.folder.relative(&saved.path),
            bytes: saved.bytes,
            seconds: saved.seconds,
            hash_seconds: saved.hash_seconds,
        })
    }
}

impl Checkpoints<'_> {
    /// The best steps of the checkpoints that stay: whichever of them a run goes on from needs its own.
    fn best_steps(&self, store: &Store) -> Vec<usize> {
        if !self.recipe.keep_best {
            return Vec::new();
        }
        let steps = store.steps().unwrap_or_default();
        let kept = steps.iter().take(self.recipe.keep_last);
        let best = |step: &usize| {
            let bytes = std::fs::read(store.path(*step).join(STATE)).ok()?;
            let state: State = serde_json::from_slice(&bytes).ok()?;
            state.progress.best_step()
        };
        kept.filter_map(best).collect()
    }
}

/// Tensors as a file; numbers that are not finite are refused, since nothing can go on from them.
fn tensors<'a>(name: &'static str, tensors: Vec<ExportedTensor>) -> Content<'a> {
    Content::new(name, move |out: &mut dyn Write| {
        let broken = Cell::new(None);
        let named = tensors.into_iter().map(|tensor| {
            let broken = &broken;
            let label = tensor.name.clone();
            NamedTensor::new(tensor.name, tensor.shape, move || {
                let values = (tensor.values)();
                if !values.iter().all(|value| value.is_finite()) {
                    broken.set(Some(label));
                }
                values
            })
        });
        write_tensors(Path::new(name), out, named.collect())?;
        match broken.take() {
            None => Ok(()),
            Some(tensor) => {
                let message = format!("`{tensor}` holds numbers that are not finite");
                Err(Box::<dyn StdError + Send + Sync>::from(message))
            }
        }
    })
}

/// A checkpoint that was found whole.
pub(super) struct Found {
    state: State,
    weights: TensorFile,
    moments: TensorFile,
}

impl Found {
    /// Opens the newest checkpoint that is whole; the damaged ones are told as lines of text.
    pub(super) fn newest(store: &Store) -> Result<(Option<Self>, Vec<String>), Error> {
        let newest = store.newest()?;
        let damaged = newest.damaged.iter().map(|damaged| {
            let name = damaged.path.file_name().unwrap_or_default().display();
            format!(
                "checkpoint `{name}` is damaged and passed over: {}",
                damaged.reason
            )
        });
        let damaged = damaged.collect();
        let found = newest.checkpoint.map(|checkpoint| Self::open(&checkpoint));
        Ok((found.transpose()?, damaged))
    }

    /// Opens the checkpoint of a step.
    pub(super) fn of(store: &Store, step: usize) -> Option<Self> {
        let checkpoint = store.open(step).ok()?;
        Self::open(&checkpoint).ok()
    }

    fn open(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let path = checkpoint.path().to_owned();
        let incomplete = || Error::Incomplete { path: path.clone() };
        let file = |name| checkpoint.file(name).ok_or_else(incomplete);
        let state = file(STATE)?;
        let bytes = std::fs::read(&state).map_err(|source| Error::Read {
            path: state,
            source,
        })?;
        // Its hash is right, so what does not parse comes from another version.
        let state = serde_json::from_slice(&bytes).map_err(|_| incomplete())?;
        Ok(Self {
            state,
            weights: TensorFile::open(&file(WEIGHTS)?)?,
            moments: TensorFile::open(&file(MOMENTS)?)?,
        })
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.state.progress
    }

    pub(super) fn inputs(&self) -> &Inputs {
        &self.state.inputs
    }

    pub(super) fn backend(&self) -> &str {
        &self.state.backend
    }

    /// All of it, as the loop takes it.
    pub(super) fn into_saved(self) -> Saved<'static> {
        Saved {
            progress: self.state.progress,
            weights: source(self.weights),
            moments: source(self.moments),
        }
    }
}

fn source(file: TensorFile) -> TensorSource<'static> {
    let shape = |name: &str| Some((name.to_owned(), file.shape(name)?.to_vec()));
    let shapes: Vec<_> = file.names().filter_map(shape).collect();
    TensorSource::new(shapes, move |name| file.read_f32(name))
}
