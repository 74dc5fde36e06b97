//! The Hub's cache on disk: `models--org--name/{refs,snapshots,blobs}`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hub_error::{CacheGap, HubError};
use crate::index::{ShardIndex, WEIGHTS, WEIGHTS_INDEX, Weights, weights};

/// The folder of one model in the cache.
pub(crate) struct ModelCache {
    folder: PathBuf,
}

impl ModelCache {
    pub(crate) fn new(cache: &Path, id: &str) -> Self {
        Self {
            folder: cache.join(format!("models--{}", id.replace('/', "--"))),
        }
    }

    /// The complete snapshot of a revision, or what is missing of it.
    pub(crate) fn complete(&self, revision: &str) -> Result<PathBuf, CacheGap> {
        let Some(snapshot) = self.cached_snapshot(revision) else {
            return Err(CacheGap {
                folder: self.folder.clone(),
                missing: Vec::new(),
            });
        };
        let missing = missing_files(&snapshot);
        if missing.is_empty() {
            Ok(snapshot)
        } else {
            Err(CacheGap {
                folder: snapshot,
                missing,
            })
        }
    }

    /// Where the files of a commit lie.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Records that `revision` is `commit`; done last, so that nobody follows it to a snapshot in the making.
    pub(crate) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.ref_path(revision);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, commit))
            .map_err(|source| HubError::Cache { path, source })
    }

    fn cached_snapshot(&self, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.ref_path(revision)).ok();
        let commit = commit.as_deref().map_or(revision, str::trim);
        Some(self.snapshot(commit)).filter(|folder| !commit.is_empty() && folder.is_dir())
    }

    fn ref_path(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

/// What a folder lacks to be a model: the configuration, the tokenizer, or weights.
fn missing_files(folder: &Path) -> Vec<String> {
    let has = |name: &str| folder.join(name).exists();
    let mut needed = vec!["config.json".to_owned(), "tokenizer.json".to_owned()];
    match weights(has) {
        Weights::Single => {}
        Weights::Unread(_) => needed.push(WEIGHTS.to_owned()),
        Weights::Sharded => match ShardIndex::read(folder) {
            Ok(index) => needed.extend(index.shards().into_iter().map(str::to_owned)),
            Err(_) => return vec![WEIGHTS_INDEX.to_owned()],
        },
    }
    needed.retain(|name| !has(name));
    needed
}
