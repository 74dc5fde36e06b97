//! Locks of blobs, which two programs take before they download the same one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::transfer_error::TransferError;

/// Pause before a lock that is taken is tried again.
const POLL: Duration = Duration::from_millis(100);

/// Waits for the lock file at `path`, however long another program holds it.
///
/// `flock` is what `huggingface_hub` uses. None is returned where the file system has no locks.
pub(crate) fn lock(path: PathBuf) -> Result<Option<File>, TransferError> {
    lock_by(path, File::try_lock)
}

fn lock_by(
    path: PathBuf,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>, TransferError> {
    let take = || {
        let file = open(&path)?;
        loop {
            match try_lock(&file) {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => thread::sleep(POLL),
                Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    take().map_err(|source| TransferError::Cache { path, source })
}

/// Opens or creates a lock file, also one that another user owns; never through a link.
fn open(path: &Path) -> io::Result<File> {
    if path.is_symlink() {
        fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        outcome => outcome,
    }
}

/// `ENOLCK` (37) is what network file systems without a lock server return.
fn is_unsupported(error: &io::Error) -> bool {
    let no_lock_server = cfg!(target_os = "linux") && error.raw_os_error() == Some(37);
    error.kind() == io::ErrorKind::Unsupported || no_lock_server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_gives_none() {
        let folder = tempfile::tempdir().unwrap();
        let unsupported = |_: &File| Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        let lock = lock_by(folder.path().join("x.lock"), unsupported).unwrap();
        assert!(lock.is_none());
    }

    #[test]
    fn a_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let first = lock(path.clone()).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| lock(path.clone()).unwrap());
            thread::sleep(POLL);
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_some());
        });
    }
}
