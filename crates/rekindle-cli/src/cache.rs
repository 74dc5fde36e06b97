//! Where the tokens and vectors of raw text are kept for later runs.

use std::env;
use std::path::PathBuf;

/// `REKINDLE_CACHE`, else `rekindle` in `XDG_CACHE_HOME` or in `.cache` of the home folder; without a home, in
/// the folder for temporary files.
pub(crate) fn folder() -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("REKINDLE_CACHE") {
        return folder.into();
    }
    let home = || env::home_dir().filter(|home| home.is_dir());
    let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| home().map(|home| home.join(".cache")));
    caches.unwrap_or_else(env::temp_dir).join("rekindle")
}
