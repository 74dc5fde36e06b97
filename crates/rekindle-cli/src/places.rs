//! Where the command line finds models, and keeps what outlives a run.

use std::env;
use std::path::PathBuf;

use rekindle::Error;
use rekindle::bundled::Places;
use rekindle::hub::HubOptions;

use crate::progress::DownloadBar;

/// What [`Places`] refer to, as the environment says.
pub(crate) struct Folders {
    hub: HubOptions,
    cache: PathBuf,
}

impl Folders {
    /// The Hub's settings as `huggingface_hub` has them, and [`cache`].
    pub(crate) fn from_env() -> Self {
        Self {
            hub: HubOptions::from_env(),
            cache: cache(),
        }
    }

    /// The places.
    pub(crate) fn places(&self) -> Places<'_> {
        Places {
            hub: &self.hub,
            cache: &self.cache,
            bundle: rekindle_bundled::FILES,
        }
    }
}

/// The folder of the model that a command names.
pub(crate) fn resolve(model: &str) -> Result<PathBuf, Error> {
    let folders = Folders::from_env();
    folders.places().resolve(model, &mut DownloadBar::default())
}

/// `REKINDLE_CACHE`, else `rekindle` in `XDG_CACHE_HOME` or in `.cache` of the home folder; without a home, in
/// the folder for temporary files.
fn cache() -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("REKINDLE_CACHE") {
        return folder.into();
    }
    let home = || env::home_dir().filter(|home| home.is_dir());
    let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| home().map(|home| home.join(".cache")));
    caches.unwrap_or_else(env::temp_dir).join("rekindle")
}
