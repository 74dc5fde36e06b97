//! Documents as tokens on disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::encoding::Frame;
use crate::error::CorpusError;
use crate::hashing::Tally;
use crate::manifest::{DOCUMENTS, MANIFEST, Manifest, TOKENS, VERSION, from_bytes};
use crate::positioned;
use crate::source::Source;

/// Of so many documents together one end is in memory.
const GROUP: u64 = 1024;
const BYTES_OF_END: u64 = 8;

/// The documents of a corpus as tokens on disk, without the special tokens around them.
#[derive(Debug)]
pub struct TokenStore {
    pub(crate) stored: Stored,
    /// The files as they are named now.
    pub(crate) sources: Vec<Source>,
    pub(crate) frame: Frame,
    pub(crate) is_cached: bool,
}

/// A folder of tokens that is what was written.
#[derive(Debug)]
pub(crate) struct Stored {
    folder: PathBuf,
    pub(crate) manifest: Manifest,
    tokens: File,
    documents: File,
    /// Where the last document of each group ends.
    index: Vec<u64>,
    /// The group whose ends were asked for last.
    group: Mutex<Option<(u64, Arc<[u64]>)>>,
}

impl TokenStore {
    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.stored.manifest.documents as usize
    }

    /// Number of tokens in all documents, without special ones.
    pub fn tokens(&self) -> u64 {
        self.stored.manifest.tokens
    }

    /// The tokens of a document, without special ones.
    ///
    /// # Panics
    /// If there is no such document.
    pub fn document(&self, index: usize) -> Result<Vec<u32>, CorpusError> {
        self.stored.tokens(self.stored.document(index as u64)?)
    }

    /// Names the tokens: equal keys mean equal documents. What is made of them can be kept under it.
    pub fn key(&self) -> &str {
        &self.stored.manifest.key
    }

    /// The files that were read, in their order, each with its SHA-256 in hexadecimal digits.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&Path, &str)> {
        let sources = self.sources.iter();
        sources.map(|source| (source.path.as_path(), source.sha256.as_str()))
    }

    /// Whether the tokens were on disk already.
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// The folder that holds the tokens.
    pub fn folder(&self) -> &Path {
        &self.stored.folder
    }
}

impl Stored {
    /// Opens a folder if its manifest is of this key, and its files are what the manifest says.
    pub(crate) fn open(folder: &Path, key: &str) -> Option<Self> {
        let manifest = fs::read(folder.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        let tokens = File::open(folder.join(TOKENS)).ok()?;
        let documents = File::open(folder.join(DOCUMENTS)).ok()?;
        let is_right = manifest.version == VERSION
            && manifest.key == key
            && matches!(manifest.width, 2 | 4)
            && tokens.metadata().ok()?.len() == manifest.tokens * manifest.width as u64
            && documents.metadata().ok()?.len() == manifest.documents * BYTES_OF_END;
        if !is_right || digest(&tokens).ok()? != manifest.tokens_sha256 {
            return None;
        }
        let (found, index) = index(&documents, manifest.documents).ok()?;
        (found == manifest.documents_sha256).then(|| Self {
            folder: folder.to_owned(),
            manifest,
            tokens,
            documents,
            index,
            group: Mutex::default(),
        })
    }

    /// Where a document lies among the tokens.
    pub(crate) fn document(&self, index: u64) -> Result<Range<u64>, CorpusError> {
        let start = match index.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => 0,
        };
        Ok(start..self.end(index)?)
    }

    /// The tokens at these places.
    pub(crate) fn tokens(&self, places: Range<u64>) -> Result<Vec<u32>, CorpusError> {
        let width = self.manifest.width;
        let mut bytes = vec![0; (places.end - places.start) as usize * width];
        positioned::read_exact(&self.tokens, &mut bytes, places.start * width as u64)
            .map_err(CorpusError::cache("read", &self.folder.join(TOKENS)))?;
        Ok(from_bytes(&bytes, width))
    }

    /// The first document that ends behind a place of a stream in which `extra` tokens are added to each.
    pub(crate) fn document_at(&self, place: u64, extra: u64) -> Result<u64, CorpusError> {
        let last_of = |group: u64| ((group + 1) * GROUP).min(self.manifest.documents) - 1;
        let ends_behind = |document: u64, end: u64| end + (document + 1) * extra > place;
        let groups = 0..self.index.len() as u64;
        let group = first(groups, |group| {
            ends_behind(last_of(group), self.index[group as usize])
        });
        let ends = self.ends(group)?;
        let within = first(0..ends.len() as u64, |within| {
            ends_behind(group * GROUP + within, ends[within as usize])
        });
        Ok(group * GROUP + within)
    }

    fn end(&self, document: u64) -> Result<u64, CorpusError> {
        let ends = self.ends(document / GROUP)?;
        Ok(ends[(document % GROUP) as usize])
    }

    /// Where the documents of a group end.
    fn ends(&self, group: u64) -> Result<Arc<[u64]>, CorpusError> {
        let mut held = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, ends)) = &*held
            && *number == group
        {
            return Ok(Arc::clone(ends));
        }
        let first = group * GROUP;
        let count = (self.manifest.documents - first).min(GROUP);
        let mut bytes = vec![0; (count * BYTES_OF_END) as usize];
        positioned::read_exact(&self.documents, &mut bytes, first * BYTES_OF_END)
            .map_err(CorpusError::cache("read", &self.folder.join(DOCUMENTS)))?;
        let ends: Arc<[u64]> = numbers(&bytes).collect();
        *held = Some((group, Arc::clone(&ends)));
        Ok(ends)
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let bytes = bytes.chunks_exact(BYTES_OF_END as usize);
    bytes.map(|bytes| {
        let digits = bytes.iter().rev();
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// The first number for which something holds, that then holds for all greater ones; the end if for none.
fn first(numbers: Range<u64>, holds: impl Fn(u64) -> bool) -> u64 {
    let Range { mut start, mut end } = numbers;
    while start < end {
        let middle = start + (end - start) / 2;
        if holds(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
}

/// The hash of a file from its beginning.
fn digest(mut file: &File) -> io::Result<String> {
    let (mut tally, mut buffer) = (Tally::default(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(tally.digest()),
            Ok(length) => tally.add(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The hash of a file of ends, and the last one of each group.
fn index(mut file: &File, documents: u64) -> io::Result<(String, Vec<u64>)> {
    let (mut tally, mut index) = (Tally::default(), Vec::new());
    let mut left = documents;
    while left > 0 {
        let count = left.min(GROUP);
        let mut bytes = vec![0; (count * BYTES_OF_END) as usize];
        file.read_exact(&mut bytes)?;
        tally.add(&bytes);
        index.extend(numbers(&bytes).last());
        left -= count;
    }
    Ok((tally.digest(), index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_is() {
        for length in 0..9 {
            for wanted in 0..=length {
                assert_eq!(first(0..length, |number| number >= wanted), wanted);
            }
        }
    }
}
