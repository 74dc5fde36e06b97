//! From what a user typed to a local folder with a model in it.

use std::path::PathBuf;

use crate::adapter::is_adapter;
use crate::cache::ModelCache;
use crate::fetch::{Model, fetch};
use crate::hub_error::HubError;
use crate::options::HubOptions;
use crate::reference::ModelReference;

/// Hears how a download goes, file by file; `()` ignores it.
pub trait Progress {
    /// The download of a file begins.
    fn start(&mut self, file: &str, bytes: u64);
    /// These bytes of the file are there from an earlier download; they say nothing about the speed.
    fn resume(&mut self, bytes: u64) {
        self.advance(bytes);
    }
    /// More of the file has arrived.
    fn advance(&mut self, bytes: u64);
    /// The download of the file has ended, well or not.
    fn finish(&mut self);
}

impl Progress for () {
    fn start(&mut self, _file: &str, _bytes: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

/// Turns a folder or a model id into a local folder that holds `config.json`, weights and tokenizer, or an
/// adapter.
///
/// A folder is taken as it is. Of an id, a complete snapshot in the cache is taken without asking the Hub
/// whether there is a newer one; what the cache lacks is downloaded into it.
pub fn resolve(
    model: &str,
    options: &HubOptions,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let (id, revision) = match ModelReference::parse(model)? {
        ModelReference::Folder(folder)
            if folder.join("config.json").exists() || is_adapter(&folder) =>
        {
            return Ok(folder);
        }
        ModelReference::Folder(folder) => return Err(HubError::NotAModel { folder }),
        ModelReference::Hub { id, revision } => (id, revision.unwrap_or_else(|| "main".to_owned())),
    };
    let cache = ModelCache::new(&options.cache, &id);
    match cache.complete(&revision) {
        Ok(snapshot) => Ok(snapshot),
        Err(gap) if options.offline => Err(HubError::Offline { id, gap }),
        Err(gap) => fetch(
            &Model {
                id: &id,
                revision: &revision,
                cache,
                gap,
                options,
            },
            progress,
        ),
    }
}
