//! What a server knows of the runs that it shows: their records, kept up with their logs.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Target;
use crate::record::tail::{Change, Tail};
use crate::record::{EVENTS, RECIPE, ReadError, RunRecord};
use crate::{report, runs};

type IsHeld = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// The records of the runs that were looked at.
pub(super) struct Watch {
    target: Target,
    is_held: IsHeld,
    followed: Mutex<HashMap<PathBuf, Followed>>,
}

/// A record and the place up to which it has read the log.
struct Followed {
    record: RunRecord,
    tail: Tail,
}

impl Debug for Watch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(target: Target, is_held: IsHeld) -> Result<Self, ReadError> {
        let real = |path: PathBuf| path.canonicalize().map_err(ReadError::of(&path));
        let target = match target {
            Target::Run(folder) if !runs::is_run(&folder) => {
                return Err(ReadError::NotARun { path: folder });
            }
            Target::Run(folder) => Target::Run(real(folder)?),
            Target::Runs(folder) => Target::Runs(real(folder)?),
        };
        Ok(Self {
            target,
            is_held,
            followed: Mutex::default(),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The folder of the only run, or that of all runs.
    pub(super) fn root(&self) -> &Path {
        match &self.target {
            Target::Run(folder) | Target::Runs(folder) => folder,
        }
    }

    /// The run folder of a name. The name is only compared, it never becomes part of a path.
    pub(super) fn folder(&self, name: &str) -> Result<Option<PathBuf>, ReadError> {
        let is_named = |path: &PathBuf| path.file_name().is_some_and(|known| known == name);
        Ok(runs::folders(self.root())?.into_iter().find(is_named))
    }

    pub(super) fn is_held(&self, folder: &Path) -> bool {
        (self.is_held)(folder)
    }

    pub(super) fn list(&self) -> Result<Vec<runs::RunSummary>, ReadError> {
        runs::list(self.root(), &self.is_held)
    }

    pub(super) fn only_page(&self) -> Result<String, ReadError> {
        self.page(self.root(), None)
    }

    /// The page of a run as its log stands now, with a link to `home`.
    pub(super) fn page(&self, folder: &Path, home: Option<&str>) -> Result<String, ReadError> {
        contained(folder)?;
        let mut followed = self.lock();
        if !followed.contains_key(folder) {
            let record = RunRecord::of_folder(folder, false)?;
            let tail = Tail::new(&folder.join(EVENTS));
            followed.insert(folder.to_owned(), Followed { record, tail });
        }
        let Some(run) = followed.get_mut(folder) else {
            return Err(ReadError::NotARun {
                path: folder.to_owned(),
            });
        };
        run.catch_up(folder)?;
        run.record.is_held = self.is_held(folder);
        Ok(report::live(
            &run.record,
            run.tail.cursor().to_string(),
            home,
        ))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Followed>> {
        // A record that a panic left behind is behind its log at worst.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn catch_up(&mut self, folder: &Path) -> Result<(), ReadError> {
        loop {
            match self.tail.poll() {
                Ok(Change::None) => return Ok(()),
                Ok(Change::Lines(lines)) => self.record.push_lines(&lines),
                Ok(Change::Reset) => self.record = RunRecord::of_folder(folder, false)?,
                Err(error) => return Err(ReadError::of(&folder.join(EVENTS))(error)),
            }
        }
    }
}

/// Refuses a run folder whose files lie elsewhere, by way of links.
pub(super) fn contained(folder: &Path) -> Result<(), ReadError> {
    for name in [RECIPE, EVENTS] {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok_and(|file| !file.is_file()) {
            let source = io::Error::other("it is no regular file of the run folder");
            return Err(ReadError::Read { path, source });
        }
    }
    Ok(())
}
