//! A folder of checkpoints.

mod clean_up;
mod save;

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};

pub use save::Saved;

use crate::damage::Damage;
use crate::disk::{Disk, FileSystem};
use crate::error::ListError;
use crate::manifest::{FileName, Manifest};
use crate::names::{self, Place};

/// A folder of checkpoints, one folder for each step that was saved.
///
/// Anybody may read at any time. Only the process that holds the run's [`RunLock`](crate::RunLock) may save,
/// prune and sweep, one of them at a time.
pub struct Store {
    folder: PathBuf,
    disk: Box<dyn Disk>,
}

/// A checkpoint whose files were all as saved when it was opened.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    step: usize,
    path: PathBuf,
    files: Vec<FileName>,
}

impl Checkpoint {
    /// The step after which it was saved.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files, or none if it was saved without one of this name.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let is_saved = self.files.iter().any(|file| file.as_str() == name);
        is_saved.then(|| self.path.join(name))
    }
}

/// What [`Store::newest`] found.
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint that can be trusted.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that cannot, newest first.
    pub damaged: Vec<Damaged>,
}

/// A checkpoint that cannot be trusted.
#[derive(Debug)]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Damage,
}

impl Store {
    /// The checkpoints in this folder, which the first save creates.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::on(folder, Box::new(FileSystem))
    }

    /// The checkpoints in this folder, written to this disk.
    pub fn on(folder: impl Into<PathBuf>, disk: Box<dyn Disk>) -> Self {
        Self {
            folder: folder.into(),
            disk,
        }
    }

    /// The newest checkpoint whose manifest, sizes and hashes are right, and why newer ones were passed over.
    pub fn newest(&self) -> Result<Newest, ListError> {
        let mut damaged = Vec::new();
        let mut folders = self.list()?;
        folders.retain(|&(_, place)| place != Place::Partial);
        for (step, place) in folders {
            let path = self.at(step, place);
            match verify(&path, step) {
                Ok(checkpoint) => {
                    return Ok(Newest {
                        checkpoint: Some(checkpoint),
                        damaged,
                    });
                }
                Err(reason) => damaged.push(Damaged { path, reason }),
            }
        }
        Ok(Newest {
            checkpoint: None,
            damaged,
        })
    }

    /// The steps of the checkpoints, the newest first; whether each is whole is not looked at.
    pub fn steps(&self) -> Result<Vec<usize>, ListError> {
        let folders = self.list()?.into_iter();
        let finals = folders.filter(|&(_, place)| place == Place::Final);
        Ok(finals.map(|(step, _)| step).collect())
    }

    /// The folder of a checkpoint, which may not be there.
    pub fn path(&self, step: usize) -> PathBuf {
        self.at(step, Place::Final)
    }

    /// The checkpoint of a step, if its manifest, sizes and hashes are right.
    pub fn open(&self, step: usize) -> Result<Checkpoint, Damage> {
        verify(&self.at(step, Place::Final), step)
            .or_else(|damage| verify(&self.at(step, Place::Replaced), step).map_err(|_| damage))
    }

    /// The folders that the store has made, newest first, and for each step the most trusted first.
    fn list(&self) -> Result<Vec<(usize, Place)>, ListError> {
        let failed = |source| ListError {
            path: self.folder.clone(),
            source,
        };
        let entries = match self.folder.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut folders = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            folders.extend(name.to_str().and_then(names::parse));
        }
        folders.sort_by_key(|&(step, place)| (Reverse(step), place));
        Ok(folders)
    }

    fn at(&self, step: usize, place: Place) -> PathBuf {
        self.folder.join(place.name(step))
    }
}

/// Opens the checkpoint in a folder if all of it is as saved.
fn verify(folder: &Path, step: usize) -> Result<Checkpoint, Damage> {
    let manifest = Manifest::read(folder, step)?;
    manifest.check_sizes(folder)?;
    manifest.check_hashes(folder)?;
    Ok(Checkpoint {
        step,
        path: folder.to_owned(),
        files: manifest.files.into_iter().map(|file| file.name).collect(),
    })
}

/// True if something has this name, whatever it is.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
