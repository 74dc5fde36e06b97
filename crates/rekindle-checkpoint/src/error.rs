//! Why a store could not do what it was asked, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::content::BoxError;

/// Why a checkpoint could not be saved. Those that were there before still are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A content's name is not a plain file name, or that of the manifest.
    #[error("`{name}` cannot be the name of a file in a checkpoint")]
    Name {
        /// The name.
        name: String,
    },
    /// Two contents have one name, or differ only in case.
    #[error("two files of a checkpoint are named `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// What an earlier save left could not be cleaned up.
    #[error(transparent)]
    CleanUp(#[from] CleanUpError),
    /// A content failed for a reason of its own.
    #[error("cannot make the content of `{path}`", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: BoxError,
    },
    /// A file or folder could not be written.
    #[error("cannot write `{path}`", path = .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl SaveError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write { path, source } => hint(path, source),
            Self::CleanUp(error) => error.hint(),
            Self::Name { .. } | Self::DuplicateName { .. } | Self::Content { .. } => None,
        }
    }
}

/// Why checkpoints could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list `{path}`", path = .path.display())]
pub struct ListError {
    /// The store's folder.
    pub path: PathBuf,
    /// What happened.
    pub source: io::Error,
}

/// Why old checkpoints or what was left half-written could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanUpError {
    /// The store could not be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// A checkpoint could not be read, so it is not known which of two is right, and both are kept.
    #[error("cannot read `{path}`", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A folder could not be removed.
    #[error("cannot remove `{path}`", path = .path.display())]
    Remove {
        /// The folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A checkpoint could not be put back into its place.
    #[error("cannot put back `{path}`", path = .path.display())]
    PutBack {
        /// Its place.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl CleanUpError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::List(ListError { path, source })
            | Self::Read { path, source }
            | Self::Remove { path, source }
            | Self::PutBack { path, source } => hint(path, source),
        }
    }
}

fn hint(path: &Path, error: &io::Error) -> Option<String> {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("free space on the disk of `{path}`"))
        }
        io::ErrorKind::PermissionDenied => Some(format!("check the permissions of `{path}`")),
        io::ErrorKind::ReadOnlyFilesystem => Some(format!("the disk of `{path}` must be writable")),
        _ => None,
    }
}
