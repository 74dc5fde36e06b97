//! Saving a checkpoint: written aside, synced, renamed.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Store, is_there};
use crate::content::Content;
use crate::error::SaveError;
use crate::manifest::{FileName, Manifest, NotPlain};
use crate::names::{MANIFEST, Place};
use crate::staging;

/// A checkpoint that is on the disk, and what it took.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its folder.
    pub path: PathBuf,
    /// The bytes of its contents.
    pub bytes: u64,
    /// The seconds that hashing took.
    pub hash_seconds: f64,
    /// The seconds that all of it took, hashing included.
    pub seconds: f64,
}

impl Store {
    /// Saves a checkpoint, and returns when it is on the disk; whatever has its name is replaced by it.
    ///
    /// If that fails, what was there before is untouched and what was written is removed, as far as the disk
    /// allows. Names are checked before anything is written.
    pub fn save(&self, step: usize, contents: Vec<Content<'_>>) -> Result<Saved, SaveError> {
        let started = Instant::now();
        let names = check_names(&contents)?;
        self.make_folder(&self.folder)?;
        // An earlier save may have failed between creating the folder and this.
        self.sync(parent(&self.folder))?;
        self.settle(step)?;
        let partial = self.at(step, Place::Partial);
        // Its failure would hide the one that matters, and the next sweep tries again.
        let discard = |_: &SaveError| drop(self.disk.remove_all(&partial));
        let (bytes, hashing) = self
            .fill(&partial, step, names.into_iter().zip(contents).collect())
            .inspect_err(discard)?;
        self.put_in_place(step).inspect_err(discard)?;
        Ok(Saved {
            path: self.at(step, Place::Final),
            bytes,
            hash_seconds: hashing.as_secs_f64(),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Writes a whole checkpoint into a new folder, and tells its bytes and the time that hashing took.
    fn fill(
        &self,
        folder: &Path,
        step: usize,
        contents: Vec<(FileName, Content<'_>)>,
    ) -> Result<(u64, Duration), SaveError> {
        let disk = self.disk.as_ref();
        disk.create_dir(folder).map_err(failed(folder))?;
        let mut entries = Vec::with_capacity(contents.len());
        let mut bytes = 0;
        let mut hashing = Duration::ZERO;
        for (name, content) in contents {
            let written = staging::write(disk, &folder.join(name.as_str()), content)?;
            bytes += written.bytes;
            hashing += written.hashing;
            entries.push(written.entry(name));
        }
        let manifest = Manifest::new(step, entries);
        let content = Content::new(MANIFEST, |out| {
            serde_json::to_writer_pretty(&mut *out, &manifest)?;
            out.write_all(b"\n")
        });
        staging::write(disk, &folder.join(MANIFEST), content)?;
        self.sync(folder)?;
        Ok((bytes, hashing))
    }

    /// Gives the finished folder its name, in such an order that one of two checkpoints is always there.
    fn put_in_place(&self, step: usize) -> Result<(), SaveError> {
        let target = self.at(step, Place::Final);
        let replaced = self.at(step, Place::Replaced);
        let has_older = is_there(&target);
        if has_older {
            let moved = self.disk.rename(&target, &replaced);
            moved.map_err(failed(&target))?;
        }
        let partial = self.at(step, Place::Partial);
        if let Err(source) = self.disk.rename(&partial, &target) {
            if has_older {
                // Should the way back fail too, the older one is found where it is.
                let _ = self.disk.rename(&replaced, &target);
            }
            return Err(failed(&target)(source));
        }
        self.sync(&self.folder)?;
        if has_older {
            // The new one is safe; the next sweep tries again to remove the old one.
            let _ = self.disk.remove_all(&replaced);
        }
        Ok(())
    }

    /// Creates the folder where it is missing, durably.
    fn make_folder(&self, folder: &Path) -> Result<(), SaveError> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = parent(folder);
        self.make_folder(parent)?;
        self.disk.create_dir(folder).map_err(failed(folder))?;
        self.sync(parent)
    }

    fn sync(&self, folder: &Path) -> Result<(), SaveError> {
        self.disk.sync_dir(folder).map_err(failed(folder))
    }
}

/// The contents' names, each plain and none twice, also where a file system ignores case.
fn check_names(contents: &[Content<'_>]) -> Result<Vec<FileName>, SaveError> {
    let mut seen = HashSet::new();
    let check = |content: &Content<'_>| {
        let name = content.name.clone();
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(SaveError::DuplicateName { name });
        }
        FileName::try_from(name).map_err(|NotPlain(name)| SaveError::Name { name })
    };
    contents.iter().map(check).collect()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_owned();
    move |source| SaveError::Write { path, source }
}

/// The folder that holds this one, also for a relative path of one part.
fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
