//! One file of a repository on its way into the cache.

use std::ops::Range;
use std::path::Path;

use ureq::http::Uri;

use crate::blob::{BUFFER_BYTES, ContentHash, Partial};
use crate::cache::ModelCache;
use crate::ranges::Chunks;
use crate::remote::{Answer, Ask, Client, Entry, Tries, Watch};
use crate::resolve::Progress;
use crate::transfer_error::TransferError;

/// Attempts to get content that has the announced size and hash.
const MAX_WRONG: u32 = 3;
/// Largest file of weights.
const MAX_WEIGHTS: u64 = 1 << 40;
/// Largest file of any other kind; the tokenizers of large vocabularies have 40 MB.
const MAX_OTHER: u64 = 256 << 20;

/// One file of a repository on its way into the cache.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a ModelCache,
    pub(crate) source: Uri,
    pub(crate) name: &'a str,
    pub(crate) entry: &'a Entry,
}

impl Download<'_> {
    /// Downloads the file into a snapshot, unless it is there.
    pub(crate) fn run(
        &self,
        snapshot: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), TransferError> {
        let file = snapshot.join(self.name);
        if ModelCache::has(&file, self.entry) {
            return Ok(());
        }
        self.check_size()?;
        let hash = self.announced()?;
        let lock = hash
            .as_ref()
            .map(|hash| self.cache.lock(hash))
            .transpose()?;
        let lock = lock.flatten();
        let symlinks = self.client.options.symlinks;
        // Another program may have downloaded it in the meantime.
        if let Some(hash) = &hash
            && self.cache.has_blob(hash, self.entry.size)
        {
            return self.cache.link(hash, &file, false, symlinks);
        }
        let hash = self.download(hash.as_ref(), lock.is_some(), progress)?;
        self.cache.link(&hash, &file, true, symlinks)
    }

    fn check_size(&self) -> Result<(), TransferError> {
        let is_weights = Path::new(self.name)
            .extension()
            .is_some_and(|end| end == "safetensors");
        let limit = if is_weights { MAX_WEIGHTS } else { MAX_OTHER };
        let size = self.entry.size;
        if size > limit {
            return Err(TransferError::Size { size, limit });
        }
        Ok(())
    }

    /// Returns the hash that the Hub announces for the file; mirrors may announce none.
    fn announced(&self) -> Result<Option<ContentHash>, TransferError> {
        let header = match self.client.ask(&self.source, &Ask::Description) {
            Ok(answer) => answer
                .header("x-linked-etag")
                .or_else(|| answer.header("etag"))
                .and_then(ContentHash::from_etag),
            // A mirror that answers no HEAD.
            Err(TransferError::Refused(refusal)) if matches!(refusal.status, 405 | 501) => None,
            Err(error) => return Err(error),
        };
        let listed = self.entry.hash.clone();
        match (listed, header) {
            (Some(listed), Some(header)) if listed.is_sha256() == header.is_sha256() => {
                if listed == header {
                    return Ok(Some(listed));
                }
                Err(TransferError::TwoHashes {
                    listed: listed.to_string(),
                    announced: header.to_string(),
                })
            }
            // A listing without its part on LFS has the hash of the pointer.
            (Some(one), Some(other)) => Ok(Some(if one.is_sha256() { one } else { other })),
            (listed, header) => Ok(listed.or(header)),
        }
    }

    /// Downloads the content into a blob, and returns the hash that names it.
    fn download(
        &self,
        hash: Option<&ContentHash>,
        is_locked: bool,
        progress: &mut dyn Progress,
    ) -> Result<ContentHash, TransferError> {
        let mut partial = self.cache.partial(hash, self.entry.size, is_locked)?;
        progress.start(self.name, self.entry.size);
        let mut meter = Meter::new(progress, partial.length());
        let outcome = self.fetch(&mut partial, &mut meter);
        meter.progress.finish();
        match outcome {
            Ok(hash) => self.cache.keep(partial, &hash).map(|()| hash),
            Err(error) if error.is_wrong_content() => {
                partial.discard();
                Err(error)
            }
            // The page that came in place of the content is not kept.
            Err(TransferError::Refused(refusal)) if refusal.is_expired_address() => {
                Err(TransferError::Length {
                    expected: self.entry.size,
                    found: refusal.bytes,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn fetch(
        &self,
        partial: &mut Partial,
        meter: &mut Meter<'_>,
    ) -> Result<ContentHash, TransferError> {
        let pause = self.client.options.retry_pause;
        let mut tries = Tries::new(pause, partial.length());
        let mut wrong = 0;
        loop {
            let error = match self.attempt(partial, meter).and_then(|()| partial.verify()) {
                Ok(hash) => return Ok(hash),
                Err(error) => error,
            };
            if error.is_wrong_content() {
                wrong += 1;
                if wrong == MAX_WRONG {
                    return Err(error);
                }
                partial.restart()?;
                tries = Tries::new(pause, 0);
            } else {
                tries.again(error, partial.length())?;
            }
        }
    }

    /// Asks once for what is missing, and reads it as far as it comes.
    fn attempt(&self, partial: &mut Partial, meter: &mut Meter<'_>) -> Result<(), TransferError> {
        let (start, size) = (partial.length(), partial.size());
        let options = &self.client.options;
        if start == size && size > 0 {
            return Ok(());
        }
        let is_parallel = size - start > options.parallel_above;
        let range = if is_parallel {
            Some(start..(start + options.chunk_bytes).min(size))
        } else {
            (start > 0).then_some(start..size)
        };
        let answer = match self.client.ask(&self.source, &Ask::Content(range.clone())) {
            Err(TransferError::Refused(refusal)) if refusal.status == 416 && start > 0 => {
                partial.restart()?;
                self.client.ask(&self.source, &Ask::Content(None))
            }
            outcome => outcome,
        }?;
        match range {
            Some(range) if answer.status == 206 => {
                answer.check_range(&range, size)?;
                if is_parallel {
                    Chunks::new(self.client, &self.source, &answer, start..size)
                        .run(answer, partial, meter)
                } else {
                    self.copy(answer, range, partial, meter)
                }
            }
            _ => {
                if partial.length() > 0 {
                    partial.restart()?;
                }
                if let Some(found) = answer.length().filter(|found| *found != size) {
                    return Err(TransferError::Length {
                        expected: size,
                        found,
                    });
                }
                self.copy(answer, 0..size, partial, meter)
            }
        }
    }

    /// Appends a part of the content as it arrives, and nothing beyond it.
    fn copy(
        &self,
        answer: Answer,
        range: Range<u64>,
        partial: &mut Partial,
        meter: &mut Meter<'_>,
    ) -> Result<(), TransferError> {
        let mut reader = answer.into_reader()?;
        let mut watch = Watch::new(self.client.options.stall_window);
        let mut buffer = vec![0; BUFFER_BYTES];
        while partial.length() < range.end {
            let wanted = (range.end - partial.length()).min(BUFFER_BYTES as u64) as usize;
            let count = watch.read(&mut reader, &mut buffer[..wanted])?;
            if count == 0 {
                return Err(TransferError::cut());
            }
            partial.append(&buffer[..count])?;
            meter.at(partial.length());
        }
        // The end of the answer also gives its connection back for the next request.
        if matches!(watch.read(&mut reader, &mut [0]), Ok(1)) {
            return Err(TransferError::Length {
                expected: partial.size(),
                found: range.end + 1,
            });
        }
        Ok(())
    }
}

/// Counts the bytes of a file for [`Progress`]; those that arrive again are not counted twice.
pub(crate) struct Meter<'a> {
    progress: &'a mut dyn Progress,
    reported: u64,
}

impl<'a> Meter<'a> {
    fn new(progress: &'a mut dyn Progress, resumed: u64) -> Self {
        if resumed > 0 {
            progress.resume(resumed);
        }
        Self {
            progress,
            reported: resumed,
        }
    }

    /// Reports that the file has arrived up to this byte.
    pub(crate) fn at(&mut self, length: u64) {
        if length > self.reported {
            self.progress.advance(length - self.reported);
            self.reported = length;
        }
    }
}
