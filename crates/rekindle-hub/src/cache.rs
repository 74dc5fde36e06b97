//! The Hub's cache on disk: `models--org--name/{refs,snapshots,blobs}`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::blob::{ContentHash, Partial};
use crate::hub_error::CacheGap;
use crate::index::{ShardIndex, WEIGHTS, WEIGHTS_INDEX, Weights, weights};
use crate::lock::lock;
use crate::remote::Entry;
use crate::transfer_error::TransferError;

/// The folder of one model in the cache.
pub(crate) struct ModelCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl ModelCache {
    pub(crate) fn new(cache: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self {
            locks: cache.join(".locks").join(&name),
            folder: cache.join(name),
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
    pub(crate) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), TransferError> {
        let path = self.ref_path(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|found| found == commit) {
            return Ok(());
        }
        replace(&path, |temporary| fs::write(temporary, commit))
    }

    /// True if a snapshot has this file of an entry: a file of its size, or a link to the blob of its hash.
    pub(crate) fn has(file: &Path, entry: &Entry) -> bool {
        let Ok(target) = file.read_link() else {
            return is_file_of(file, entry.size);
        };
        let expected = Path::new("../../blobs");
        let is_blob = match &entry.hash {
            Some(hash) => target == expected.join(hash.as_str()),
            None => target.parent() == Some(expected),
        };
        is_blob && is_file_of(file, entry.size)
    }

    /// True if the blob of a hash is there, in its size.
    pub(crate) fn has_blob(&self, hash: &ContentHash, size: u64) -> bool {
        is_file_of(&self.blob(hash), size)
    }

    /// Waits until no other program downloads the blob of this hash.
    pub(crate) fn lock(&self, hash: &ContentHash) -> Result<Option<File>, TransferError> {
        create_folder(&self.locks)?;
        lock(self.locks.join(format!("{hash}.lock")))
    }

    /// Opens the partial file of a blob; without a hash or a lock it has a name that no other program uses.
    pub(crate) fn partial(
        &self,
        hash: Option<&ContentHash>,
        size: u64,
        is_locked: bool,
    ) -> Result<Partial, TransferError> {
        let blobs = self.folder.join("blobs");
        create_folder(&blobs)?;
        if let Some(hash) = hash
            && is_locked
        {
            let path = blobs.join(format!("{hash}.incomplete"));
            return Partial::open(path, Some(hash.clone()), size, true);
        }
        let name = Builder::new()
            .suffix(".incomplete")
            .make_in(&blobs, |path| File::create_new(path));
        let kept = name.and_then(|name| name.into_temp_path().keep().map_err(io::Error::from));
        let path = kept.map_err(|source| failed(&blobs, source))?;
        Partial::open(path, hash.cloned(), size, false)
    }

    /// Makes a complete partial file the blob of its hash, unless another program was faster.
    pub(crate) fn keep(&self, partial: Partial, hash: &ContentHash) -> Result<(), TransferError> {
        let size = partial.size();
        match partial.persist(&self.blob(hash)) {
            Err(_) if self.has_blob(hash, size) => Ok(()),
            outcome => outcome,
        }
    }

    /// Puts a blob into a snapshot under the name of its file.
    ///
    /// That is a link. Where links do not work, a new blob is moved, as `huggingface_hub` does, and one that
    /// other snapshots may use is copied.
    pub(crate) fn link(
        &self,
        hash: &ContentHash,
        file: &Path,
        is_new: bool,
        symlinks: bool,
    ) -> Result<(), TransferError> {
        let target = Path::new("../../blobs").join(hash.as_str());
        if symlinks && replace(file, |temporary| symlink(&target, temporary)).is_ok() {
            return Ok(());
        }
        let blob = self.blob(hash);
        if is_new {
            create_folder(file.parent().unwrap_or(file))?;
            return fs::rename(&blob, file).map_err(|source| failed(file, source));
        }
        replace(file, |temporary| fs::copy(&blob, temporary).map(|_| ()))
    }

    fn blob(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join("blobs").join(hash.as_str())
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

/// Writes a file or link aside and renames it, so that a link at `path` is replaced and not followed.
fn replace(path: &Path, write: impl Fn(&Path) -> io::Result<()>) -> Result<(), TransferError> {
    let folder = path.parent().unwrap_or(path);
    create_folder(folder)?;
    let temporary = Builder::new().suffix(".tmp").make_in(folder, write);
    temporary
        .and_then(|temporary| {
            temporary
                .into_temp_path()
                .persist(path)
                .map_err(io::Error::from)
        })
        .map_err(|source| failed(path, source))
}

fn create_folder(folder: &Path) -> Result<(), TransferError> {
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))
}

fn is_file_of(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

fn failed(path: &Path, source: io::Error) -> TransferError {
    TransferError::Cache {
        path: path.to_owned(),
        source,
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_locks_each_download_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ModelCache::new(folder.path(), "org/tiny");
        let hash = ContentHash::parse("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        let mut partials = [(); 2].map(|()| cache.partial(Some(&hash), 6, false).unwrap());
        for partial in &mut partials {
            partial.append(b"hello\n").unwrap();
        }
        let blobs = folder.path().join("models--org--tiny/blobs");
        let count = || blobs.read_dir().unwrap().count();
        assert_eq!(count(), 2);
        let [first, second] = partials;
        drop(first);
        assert_eq!(count(), 1);
        cache.keep(second, &hash).unwrap();
        assert_eq!(count(), 1);
        assert!(cache.has_blob(&hash, 6));
    }
}
