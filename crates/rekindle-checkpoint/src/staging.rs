//! Writing the files of a checkpoint: hashed on the way, synced at the end.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::content::Content;
use crate::disk::{Disk, DurableFile};
use crate::error::SaveError;
use crate::manifest::{self, FileEntry, FileName};

/// Contents are hashed and written in pieces of at least this many bytes.
const BUFFER: usize = 1 << 20;

/// A file that is on the disk.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) hashing: Duration,
}

impl Written {
    pub(crate) fn entry(self, name: FileName) -> FileEntry {
        FileEntry {
            name,
            bytes: self.bytes,
            sha256: self.sha256,
        }
    }
}

/// Writes a content to its file, and returns when it is on the disk.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    content: Content<'_>,
) -> Result<Written, SaveError> {
    let failed = |source| SaveError::Write {
        path: path.to_owned(),
        source,
    };
    let file = disk.create(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(BUFFER, HashingFile::new(file));
    let made = (content.write)(&mut out);
    let flushed = out.flush();
    let (mut file, _) = out.into_parts();
    // What the disk says comes first: the content may have passed it on in words of its own, or not at all.
    if let Some(source) = file.failure {
        return Err(failed(source));
    }
    made.map_err(|source| SaveError::Content {
        path: path.to_owned(),
        source,
    })?;
    flushed.map_err(failed)?;
    file.inner.sync_all().map_err(failed)?;
    Ok(Written {
        bytes: file.bytes,
        sha256: manifest::hex(file.hasher),
        hashing: file.hashing,
    })
}

/// A file that hashes what is written to it, and that fails for good when a write fails.
struct HashingFile {
    inner: Box<dyn DurableFile>,
    hasher: Sha256,
    bytes: u64,
    hashing: Duration,
    failure: Option<io::Error>,
}

impl HashingFile {
    fn new(inner: Box<dyn DurableFile>) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
            hashing: Duration::ZERO,
            failure: None,
        }
    }

    /// Does one thing to the file, unless it has failed before, and remembers a failure.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&mut dyn DurableFile) -> io::Result<T>,
    ) -> io::Result<T> {
        if let Some(failure) = &self.failure {
            return Err(failure.kind().into());
        }
        act(self.inner.as_mut()).map_err(|error| {
            let kind = error.kind();
            // Interrupted means: try again.
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            kind.into()
        })
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.attempt(|file| match file.write(bytes)? {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            length => Ok(length),
        })?;
        let started = Instant::now();
        self.hasher.update(&bytes[..length]);
        self.hashing += started.elapsed();
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(|file| file.flush())
    }
}
