//! Content that is compared with its hash while it arrives.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::transfer_error::TransferError;

/// Bytes that are read at once.
pub(crate) const BUFFER_BYTES: usize = 1 << 16;

/// A hash in hexadecimal digits: SHA-1 as git computes it of a blob, or SHA-256 of a file in Git LFS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentHash(String);

impl ContentHash {
    /// Reads exactly 40 or 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_ascii_lowercase()))
    }

    /// Reads the value of an `ETag` header.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        Self::parse(etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"'))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[derive(Clone)]
enum Hasher {
    Git(Sha1),
    Lfs(Sha256),
}

impl Hasher {
    fn new(is_sha256: bool, size: u64) -> Self {
        if is_sha256 {
            Self::Lfs(Sha256::new())
        } else {
            Self::Git(Sha1::new_with_prefix(format!("blob {size}\0")))
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Git(hasher) => hasher.update(bytes),
            Self::Lfs(hasher) => hasher.update(bytes),
        }
    }

    fn hash(&self) -> ContentHash {
        let mut text = String::new();
        let mut push = |bytes: &[u8]| {
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
        };
        match self.clone() {
            Self::Git(hasher) => push(&hasher.finalize()),
            Self::Lfs(hasher) => push(&hasher.finalize()),
        }
        ContentHash(text)
    }
}

/// A file that is always a prefix of the content, so that a later download continues it.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    expected: Option<ContentHash>,
    length: u64,
    size: u64,
    /// False: the name is this process's own, and the file goes away with it.
    is_kept: bool,
}

impl Partial {
    /// Opens the partial file at `path`, and continues it where it has a prefix; never through a link.
    pub(crate) fn open(
        path: PathBuf,
        expected: Option<ContentHash>,
        size: u64,
        is_kept: bool,
    ) -> Result<Self, TransferError> {
        let open = || -> io::Result<File> {
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_file() && metadata.len() <= size => {
                    OpenOptions::new().read(true).write(true).open(&path)
                }
                Ok(_) => {
                    fs::remove_file(&path)?;
                    File::create_new(&path)
                }
                Err(_) => File::create_new(&path),
            }
        };
        let file = open().map_err(|source| TransferError::Cache {
            path: path.clone(),
            source,
        })?;
        let is_sha256 = expected.as_ref().is_some_and(ContentHash::is_sha256);
        let mut partial = Self {
            hasher: Hasher::new(is_sha256, size),
            path,
            file,
            expected,
            length: 0,
            size,
            is_kept,
        };
        let prefix = partial.read_prefix();
        prefix.map_err(|source| partial.failed(source))?;
        Ok(partial)
    }

    /// Returns the bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the bytes of the whole content.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends what has arrived.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.file
            .write_all(bytes)
            .map_err(|source| self.failed(source))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins again with an empty file. The old one is removed, not cut: another process may write to it.
    pub(crate) fn restart(&mut self) -> Result<(), TransferError> {
        let create = || {
            // Where locks have no effect, another process may have renamed it.
            let _ = fs::remove_file(&self.path);
            File::create_new(&self.path)
        };
        self.file = create().map_err(|source| self.failed(source))?;
        self.hasher = Hasher::new(matches!(self.hasher, Hasher::Lfs(_)), self.size);
        self.length = 0;
        Ok(())
    }

    /// Compares the whole content with the hash that was announced, and returns its hash.
    pub(crate) fn verify(&self) -> Result<ContentHash, TransferError> {
        if self.length != self.size {
            return Err(TransferError::Length {
                expected: self.size,
                found: self.length,
            });
        }
        let found = self.hasher.hash();
        match &self.expected {
            Some(expected) if *expected != found => Err(TransferError::Hash {
                expected: expected.to_string(),
                found: found.to_string(),
            }),
            _ => Ok(found),
        }
    }

    /// Gives the complete file its name; a link of that name is replaced, not followed.
    pub(crate) fn persist(mut self, blob: &Path) -> Result<(), TransferError> {
        let rename = || {
            self.file.sync_data()?;
            // Where locks have no effect, another process may have begun this file again.
            if fs::metadata(&self.path)?.len() != self.size {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            fs::rename(&self.path, blob)
        };
        let outcome = rename();
        if outcome.is_ok() {
            self.is_kept = true;
        }
        outcome.map_err(|source| self.failed(source))
    }

    /// Removes the file, whose content is wrong.
    pub(crate) fn discard(mut self) {
        self.is_kept = false;
    }

    fn read_prefix(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        self.file.seek(SeekFrom::Start(0))?;
        loop {
            let count = self.file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    fn failed(&self, source: io::Error) -> TransferError {
        TransferError::Cache {
            path: self.path.clone(),
            source,
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git hash-object` of a file with `hello\n`, and its SHA-256.
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const LFS: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn partial(path: &Path, hash: Option<&str>) -> Partial {
        let hash = hash.map(|hash| ContentHash::parse(hash).unwrap());
        Partial::open(path.to_owned(), hash, 6, true).unwrap()
    }

    #[test]
    fn content_is_compared_with_the_hash_of_git_or_of_lfs() {
        let folder = tempfile::tempdir().unwrap();
        for hash in [GIT, LFS] {
            let mut partial = partial(&folder.path().join(hash), Some(hash));
            partial.append(b"hello\n").unwrap();
            assert_eq!(partial.verify().unwrap().as_str(), hash);
            partial.restart().unwrap();
            partial.append(b"hallo\n").unwrap();
            assert!(matches!(partial.verify(), Err(TransferError::Hash { .. })));
        }
    }

    #[test]
    fn a_prefix_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.incomplete");
        partial(&path, Some(LFS)).append(b"hel").unwrap();
        let mut second = partial(&path, Some(LFS));
        assert_eq!(second.length(), 3);
        second.append(b"lo\n").unwrap();
        second.verify().unwrap();
        second.persist(&folder.path().join("x")).unwrap();
        assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"hello\n");
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_instead_of_written_through() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (
            folder.path().join("victim"),
            folder.path().join("x.incomplete"),
        );
        fs::write(&victim, "vi").unwrap();
        symlink(&victim, &path).unwrap();
        let blob = folder.path().join("x");
        symlink(folder.path().join("dangling"), &blob).unwrap();
        let mut partial = partial(&path, Some(GIT));
        assert_eq!(partial.length(), 0);
        partial.append(b"hello\n").unwrap();
        partial.persist(&blob).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"vi");
        assert!(!folder.path().join("dangling").exists());
        assert_eq!(fs::read(&blob).unwrap(), b"hello\n");
        assert!(!blob.is_symlink());
    }

    #[test]
    fn etags_are_taken_only_if_they_are_hashes() {
        let parse = |etag: &str| ContentHash::from_etag(etag).map(|hash| hash.to_string());
        for etag in [
            format!("\"{GIT}\""),
            format!("W/\"{GIT}\""),
            GIT.to_uppercase(),
        ] {
            assert_eq!(parse(&etag).as_deref(), Some(GIT));
        }
        let long = "e".repeat(10_000);
        for etag in [
            "",
            "\"\"",
            "\"../../evil\"",
            "/etc/passwd",
            long.as_str(),
            &GIT[1..],
        ] {
            assert_eq!(parse(etag), None, "{etag}");
        }
    }
}
