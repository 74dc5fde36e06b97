//! `manifest.json`: what a checkpoint consists of, and whether it still does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::damage::Damage;
use crate::names::{MANIFEST, is_plain};

const VERSION: u64 = 1;

/// Files are read in pieces of this many bytes.
const PIECE: usize = 1 << 20;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u64,
    step: usize,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) name: FileName,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A plain file name, also when it comes from a file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct FileName(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a plain file name")]
pub(crate) struct NotPlain(pub(crate) String);

impl TryFrom<String> for FileName {
    type Error = NotPlain;

    fn try_from(name: String) -> Result<Self, NotPlain> {
        if is_plain(&name) && !name.eq_ignore_ascii_case(MANIFEST) {
            Ok(Self(name))
        } else {
            Err(NotPlain(name))
        }
    }
}

impl FileName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Manifest {
    pub(crate) fn new(step: usize, files: Vec<FileEntry>) -> Self {
        Self {
            version: VERSION,
            step,
            files,
        }
    }

    /// The manifest of a folder, if it is that of this step.
    pub(crate) fn read(folder: &Path, step: usize) -> Result<Self, Damage> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }

        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Err(Damage::NoManifest { path }),
            Err(source) => return Err(Damage::Read { path, source }),
        };
        let parsed = serde_json::from_slice::<Version>(&bytes).and_then(|Version { version }| {
            if version == VERSION {
                serde_json::from_slice(&bytes).map(Ok)
            } else {
                Ok(Err(version))
            }
        });
        match parsed {
            Err(source) => Err(Damage::Manifest { path, source }),
            Ok(Err(found)) => Err(Damage::Version {
                path,
                found,
                expected: VERSION,
            }),
            Ok(Ok(Self { step: found, .. })) if found != step => Err(Damage::Step {
                path,
                found,
                expected: step,
            }),
            Ok(Ok(manifest)) => Ok(manifest),
        }
    }

    /// Whether the files are there and have their sizes, which takes no time.
    pub(crate) fn check_sizes(&self, folder: &Path) -> Result<(), Damage> {
        for entry in &self.files {
            let path = folder.join(entry.name.as_str());
            match fs::metadata(&path) {
                Ok(metadata) if !metadata.is_file() => return Err(Damage::Missing { path }),
                Ok(metadata) if metadata.len() != entry.bytes => {
                    return Err(Damage::Size {
                        path,
                        found: metadata.len(),
                        expected: entry.bytes,
                    });
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => return Err(Damage::Missing { path }),
                Err(source) => return Err(Damage::Read { path, source }),
            }
        }
        Ok(())
    }

    /// Whether the files have their hashes, which reads all of them.
    pub(crate) fn check_hashes(&self, folder: &Path) -> Result<(), Damage> {
        for entry in &self.files {
            let path = folder.join(entry.name.as_str());
            match hash(&path) {
                Ok(sha256) if sha256 == entry.sha256 => {}
                Ok(_) => return Err(Damage::Hash { path }),
                Err(source) => return Err(Damage::Read { path, source }),
            }
        }
        Ok(())
    }
}

/// True if the error says that there is no such file, not that it cannot be read.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex(hasher)),
            Ok(length) => hasher.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn hex(hasher: Sha256) -> String {
    hex::encode(hasher.finalize())
}
