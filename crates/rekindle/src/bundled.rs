//! A model that is part of a program, as a folder that everything else reads like any other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rekindle_hub::{HubOptions, Progress, resolve};
use rekindle_train::recipe::BUNDLED;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::hashes::digits;
use crate::texts::TextsError;

/// Files of a model, by their names.
pub type Bundle = [(&'static str, &'static [u8])];

/// Where things are looked for and kept that outlive a run.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Models.
    pub hub: &'a HubOptions,
    /// Folder of what is kept for later runs: tokens and vectors of raw text, the bundled model's files.
    pub cache: &'a Path,
    /// The model that is called [`BUNDLED`]; empty: there is none.
    pub bundle: &'a Bundle,
}

impl Places<'_> {
    /// The folder of a model: the bundled one's, or the one that the hub finds.
    pub fn resolve(&self, model: &str, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        if model == BUNDLED && !self.bundle.is_empty() {
            return Ok(unpack(self.bundle, self.cache)?);
        }
        Ok(resolve(model, self.hub, progress)?)
    }
}

/// Writes the files into a folder of their own below the cache, unless they are there.
fn unpack(bundle: &Bundle, cache: &Path) -> Result<PathBuf, TextsError> {
    let mut hasher = Sha256::new();
    for (name, bytes) in bundle {
        hasher.update(format!("{name} {}\n", bytes.len()));
        hasher.update(bytes);
    }
    let parent = cache.join(BUNDLED);
    let folder = parent.join(&digits(hasher)[..16]);
    let failed = |source| TextsError::Cache {
        path: folder.clone(),
        source,
    };
    if is_whole(bundle, &folder) {
        return Ok(folder);
    }
    fs::create_dir_all(&parent).map_err(failed)?;
    let staged = tempfile::tempdir_in(&parent).map_err(failed)?;
    for (name, bytes) in bundle {
        fs::write(staged.path().join(name), bytes).map_err(failed)?;
    }
    // What a killed process or another hand left there makes way.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    match fs::rename(staged.path(), &folder) {
        // Another process was faster.
        Err(_) if is_whole(bundle, &folder) => Ok(folder),
        renamed => renamed.map(|()| folder.clone()).map_err(failed),
    }
}

fn is_whole(bundle: &Bundle, folder: &Path) -> bool {
    let mut files = bundle.iter();
    files.all(|(name, bytes)| fs::read(folder.join(name)).is_ok_and(|found| found == *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &Bundle = &[("config.json", b"{}"), ("model.safetensors", b"weights")];

    #[test]
    fn files_are_written_once_and_mended() {
        let cache = tempfile::tempdir().unwrap();
        let folder = unpack(FILES, cache.path()).unwrap();
        assert_eq!(fs::read(folder.join("config.json")).unwrap(), b"{}");
        let before = folder.metadata().unwrap().modified().unwrap();
        assert_eq!(unpack(FILES, cache.path()).unwrap(), folder);
        assert_eq!(folder.metadata().unwrap().modified().unwrap(), before);
        fs::write(folder.join("model.safetensors"), b"weigh").unwrap();
        assert_eq!(unpack(FILES, cache.path()).unwrap(), folder);
        assert!(is_whole(FILES, &folder));
        let others = fs::read_dir(cache.path().join(BUNDLED)).unwrap().count();
        assert_eq!(others, 1);
    }

    #[test]
    fn other_files_have_another_folder() {
        let cache = tempfile::tempdir().unwrap();
        let other: &Bundle = &[("config.json", b"{}"), ("model.safetensors", b"others")];
        let folders = [FILES, other].map(|files| unpack(files, cache.path()).unwrap());
        assert_ne!(folders[0], folders[1]);
    }
}
