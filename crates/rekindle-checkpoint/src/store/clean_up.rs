//! Removing: old checkpoints, and what a killed process left.

use std::io;
use std::path::{Path, PathBuf};

use super::{Store, is_there, verify};
use crate::damage::Damage;
use crate::error::CleanUpError;
use crate::manifest::Manifest;
use crate::names::Place;

impl Store {
    /// Removes old checkpoints, and returns the folders that are gone.
    ///
    /// Of the checkpoints up to `newest_step`, which is the one just saved, it keeps that one, the `keep_last`
    /// newest (itself among them) and those of the `protected` steps; a damaged one does not count as kept.
    /// Newer ones stay. If the one just saved is not there in full, nothing is removed.
    ///
    /// Damage means here what can be seen without reading all files: these were written a moment ago, and
    /// hashing them would compare the memory with itself.
    pub fn prune(
        &self,
        newest_step: usize,
        keep_last: usize,
        protected: &[usize],
    ) -> Result<Vec<PathBuf>, CleanUpError> {
        if !self.is_whole(newest_step) {
            return Ok(Vec::new());
        }
        let mut kept = 0;
        let mut old = Vec::new();
        for (step, place) in self.list()? {
            let path = self.at(step, place);
            let is_old = place == Place::Final && step <= newest_step;
            if !is_old || Manifest::read(&path, step).is_err() {
                continue;
            }
            let is_last = self.is_whole(step) && kept < keep_last.max(1);
            kept += usize::from(is_last);
            if !is_last && !protected.contains(&step) {
                old.push(step);
            }
        }
        self.remove_steps(&old)
    }

    /// Removes what a killed process left half-written, and returns the folders that are gone.
    ///
    /// Of two checkpoints of one step, one replacing the other, one that is right keeps the step's name. To be
    /// called while holding the run's lock, before anything is saved.
    pub fn sweep(&self) -> Result<Vec<PathBuf>, CleanUpError> {
        let mut steps = self.list()?;
        steps.retain(|&(_, place)| place != Place::Final);
        steps.dedup_by_key(|&mut (step, _)| step);
        let mut removed = Vec::new();
        for (step, _) in steps {
            removed.extend(self.settle(step)?);
        }
        Ok(removed)
    }

    /// Leaves no hidden folder of a step, and returns what it removed.
    pub(super) fn settle(&self, step: usize) -> Result<Vec<PathBuf>, CleanUpError> {
        let partial = self.at(step, Place::Partial);
        let replaced = self.at(step, Place::Replaced);
        let mut removed = Vec::new();
        if !is_there(&partial) && !is_there(&replaced) {
            return Ok(removed);
        }
        // After a failed sync, what goes may still have the name of a checkpoint on the disk.
        let synced = self.disk.sync_dir(&self.folder);
        synced.map_err(not_removed(&self.folder))?;
        if is_there(&partial) {
            self.remove(&partial)?;
            removed.push(partial);
        }
        if !is_there(&replaced) {
            return Ok(removed);
        }
        let target = self.at(step, Place::Final);
        if is_right(&target, step)? || !is_right(&replaced, step)? {
            self.remove(&replaced)?;
            removed.push(replaced);
            return Ok(removed);
        }
        if is_there(&target) {
            self.remove(&target)?;
            removed.push(target.clone());
        }
        let moved = self.disk.rename(&replaced, &target);
        // Not synced: under either name it is found.
        moved.map_err(|source| CleanUpError::PutBack {
            path: target,
            source,
        })?;
        Ok(removed)
    }

    /// Renames first, so that nobody takes a half-removed checkpoint for a damaged one.
    fn remove_steps(&self, steps: &[usize]) -> Result<Vec<PathBuf>, CleanUpError> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        for &step in steps {
            self.settle(step)?;
            let path = self.at(step, Place::Final);
            let moved = self.disk.rename(&path, &self.at(step, Place::Partial));
            moved.map_err(not_removed(&path))?;
        }
        let synced = self.disk.sync_dir(&self.folder);
        synced.map_err(not_removed(&self.folder))?;
        for &step in steps {
            self.remove(&self.at(step, Place::Partial))?;
        }
        Ok(steps
            .iter()
            .map(|&step| self.at(step, Place::Final))
            .collect())
    }

    fn remove(&self, path: &Path) -> Result<(), CleanUpError> {
        self.disk.remove_all(path).map_err(not_removed(path))
    }

    /// True if all files are there and have their sizes.
    fn is_whole(&self, step: usize) -> bool {
        let folder = self.at(step, Place::Final);
        Manifest::read(&folder, step).is_ok_and(|manifest| manifest.check_sizes(&folder).is_ok())
    }
}

/// True if the folder is a checkpoint as saved; an error if that cannot be known.
fn is_right(folder: &Path, step: usize) -> Result<bool, CleanUpError> {
    match verify(folder, step) {
        Ok(_) => Ok(true),
        Err(Damage::Read { path, source }) => Err(CleanUpError::Read { path, source }),
        Err(_) => Ok(false),
    }
}

fn not_removed(path: &Path) -> impl FnOnce(io::Error) -> CleanUpError {
    let path = path.to_owned();
    move |source| CleanUpError::Remove { path, source }
}
