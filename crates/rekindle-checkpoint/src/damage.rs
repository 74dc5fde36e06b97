//! Why a checkpoint cannot be trusted.

use std::io;
use std::path::PathBuf;

/// Why a checkpoint cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// There is no such folder, or it holds no manifest.
    #[error("there is no `{path}`", path = .path.display())]
    NoManifest {
        /// The manifest that is missing.
        path: PathBuf,
    },
    /// The manifest is not one.
    #[error("`{path}` is not a manifest", path = .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest is of a version that this program does not know.
    #[error("`{path}` has version {found}, not {expected}", path = .path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that can be read.
        expected: u64,
    },
    /// The manifest belongs to another step.
    #[error("`{path}` is of step {found}, not {expected}", path = .path.display())]
    Step {
        /// The manifest.
        path: PathBuf,
        /// The step that it names.
        found: usize,
        /// The step that the folder names.
        expected: usize,
    },
    /// A file is not there.
    #[error("there is no `{path}`", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is shorter or longer than it was.
    #[error("`{path}` has {found} bytes, not {expected}", path = .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// Its size when it was saved.
        expected: u64,
    },
    /// A file's bytes are not those that were saved.
    #[error("`{path}` does not have the hash that it was saved with", path = .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read, so nobody knows.
    #[error("cannot read `{path}`", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Damage {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Version { .. } => {
                Some("resume with the version of this program that saved it".to_owned())
            }
            Self::Read { path, .. } => Some(format!(
                "check the permissions of `{}`, and the disk",
                path.display()
            )),
            _ => None,
        }
    }
}
