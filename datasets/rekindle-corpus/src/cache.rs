//! Folders of tokens that appear whole or not at all.
//!
//! A folder is written under a hidden name beside its place, `.<key>.<process>.partial`, and renamed. Who writes
//! holds a lock of the operating system on `.<key>.lock`; others wait for it and then find the folder. Where the
//! file system has no locks two may write at once, each under a name of its own, and one of the two stays.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::CorpusError;
use crate::progress::Progress;
use crate::store::Stored;

const PARTIAL: &str = ".partial";
const LOCK: &str = ".lock";

/// The place of one folder of tokens.
pub(crate) struct Place {
    tokens: PathBuf,
    key: String,
}

impl Place {
    /// The place of a key in a cache.
    pub(crate) fn new(cache: &Path, key: String) -> Self {
        let tokens = cache.join("tokens");
        Self { tokens, key }
    }

    /// The tokens at this place, if they are what was written.
    pub(crate) fn open(&self) -> Option<Stored> {
        Stored::open(&self.tokens.join(&self.key), &self.key)
    }

    /// Opens the tokens if somebody else has just written them, else has them written; true if it had.
    pub(crate) fn fill(
        &self,
        progress: &mut dyn Progress,
        write: impl FnOnce(&Path, &mut dyn Progress) -> Result<(), CorpusError>,
    ) -> Result<(Stored, bool), CorpusError> {
        let failed = CorpusError::cache("create", &self.tokens);
        fs::create_dir_all(&self.tokens).map_err(failed)?;
        let lock = self.lock(progress)?;
        if let Some(stored) = self.open() {
            return Ok((stored, false));
        }
        if lock.is_some() {
            self.sweep();
        }
        let partial = Partial(self.tokens.join(self.partial()));
        fs::create_dir(&partial.0).map_err(CorpusError::cache("create", &partial.0))?;
        write(&partial.0, progress)?;
        sync(&partial.0)?;
        let place = self.tokens.join(&self.key);
        if let Err(error) = self.settle(&partial.0, &place) {
            // Without locks, another process may have been faster.
            return self.open().map(|stored| (stored, false)).ok_or(error);
        }
        let lost = || io::Error::new(io::ErrorKind::InvalidData, "it is not what was written");
        let stored = self.open();
        let stored = stored.ok_or_else(|| CorpusError::cache("read back", &place)(lost()))?;
        Ok((stored, true))
    }

    /// Moves a finished folder to its place; what stands there is damaged, or of somebody else.
    fn settle(&self, partial: &Path, place: &Path) -> Result<(), CorpusError> {
        if let Ok(found) = place.symlink_metadata() {
            let removed = if found.is_dir() {
                fs::remove_dir_all(place)
            } else {
                fs::remove_file(place)
            };
            removed.map_err(CorpusError::cache("remove", place))?;
        }
        fs::rename(partial, place).map_err(CorpusError::cache("create", place))?;
        sync(&self.tokens)
    }

    /// The right to write; none where the file system has no locks.
    fn lock(&self, progress: &mut dyn Progress) -> Result<Option<File>, CorpusError> {
        let path = self.tokens.join(format!(".{}{LOCK}", self.key));
        let file = File::create(&path).map_err(CorpusError::cache("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                progress.wait();
                Ok(file.lock().ok().map(|()| file))
            }
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    fn partial(&self) -> String {
        format!(".{}.{}{PARTIAL}", self.key, process::id())
    }

    /// Removes what processes that were killed have left of this key: nobody writes while this one has the lock.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.tokens) else {
            return;
        };
        let begins = format!(".{}.", self.key);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&begins) && name.ends_with(PARTIAL) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A folder that goes away unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns when the names in a folder are on the disk, where folders can be synced.
fn sync(folder: &Path) -> Result<(), CorpusError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        // Some network file systems have no such act for folders.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result.map_err(CorpusError::cache("sync", folder)),
    }
}
