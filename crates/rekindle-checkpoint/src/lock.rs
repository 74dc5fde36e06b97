//! The right of one process to write to a run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FILE: &str = "run.lock";

/// How often to try, since somebody who asks whether the lock is held has it for a moment.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// The right of one process to write to a run folder, until it is dropped or the process ends.
///
/// It is a lock of the operating system on `run.lock`, which holds the process id for people to read. The file
/// stays when the lock is gone: to remove it could remove what another process has just locked.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Why a run folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds the lock, or this one does already.
    #[error("`{path}` is locked by {}", holder(*.pid), path = .path.display())]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// The process, where its id can be read.
        pid: Option<u32>,
    },
    /// The lock's file could not be opened or written.
    #[error("cannot open `{path}`", path = .path.display())]
    Open {
        /// The lock's file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The file system does not lock files.
    #[error("cannot lock `{path}`", path = .path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl LockError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Held { .. } => "wait until it ends, or stop it",
            Self::Open { .. } => "check that the folder is there and can be written to",
            Self::Lock { .. } => "put the run on a disk that supports file locks",
        };
        Some(hint.to_owned())
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl RunLock {
    /// Locks a run folder, which must be there.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(FILE);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(source) => return Err(LockError::Open { path, source }),
        };
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&path);
                return Err(LockError::Held { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(LockError::Lock { path, source }),
        }
        let lock = Self { file };
        match lock.sign() {
            Ok(()) => Ok(lock),
            Err(source) => Err(LockError::Open { path, source }),
        }
    }

    /// True if a live process holds the lock of a run folder. The holder does not notice.
    pub fn is_held(folder: &Path) -> bool {
        File::open(folder.join(FILE))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Writes the process id over what an earlier holder wrote.
    fn sign(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Closing is not enough while a child process that is being started still has the file open.
        let _ = self.file.unlock();
    }
}

fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

fn read_pid(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
