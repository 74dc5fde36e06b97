//! A file of the corpus, looked through before its documents are read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use rekindle_data::{DataError, RowError};

use rekindle_data::Documents;

use crate::documents::Kind;
use crate::error::CorpusError;
use crate::hashing::{HashingReader, Seen, Tally};
use crate::pieces::{self, Pieces};

/// Files are read in parts of this many bytes.
const BUFFER: usize = 1 << 18;
/// So many bytes at the beginning tell what the documents of a file are.
const HEAD: usize = 1 << 16;
/// How many bad rows an error shows.
const SHOWN: usize = 10;

/// A file, and what its documents are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// What tells the kind.
    pub(crate) reason: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Source {
    /// Reads a file once, for its hash and for what its documents are.
    pub(crate) fn survey(path: PathBuf, documents: Documents) -> Result<Self, CorpusError> {
        let mut file = File::open(&path).map_err(CorpusError::read(&path))?;
        let (mut head, mut tally) = (Vec::new(), Tally::default());
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CorpusError::read(&path)(error)),
            };
            tally.add(&buffer[..length]);
            let wanted = HEAD.saturating_sub(head.len()).min(length);
            head.extend_from_slice(&buffer[..wanted]);
        }
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(DataError::Utf16 { path }.into());
        }
        let Some((kind, reason)) = Kind::of(&path, &head, documents) else {
            return Err(CorpusError::Table { path });
        };
        Ok(Self {
            bytes: tally.bytes,
            sha256: tally.digest(),
            path,
            kind,
            reason,
        })
    }

    /// The texts of its documents, with what has been read of the file so far.
    pub(crate) fn pieces(&self) -> Result<(Pieces, Seen), CorpusError> {
        let file = File::open(&self.path).map_err(CorpusError::read(&self.path))?;
        let (reader, tally) = HashingReader::new(file);
        let reader = BufReader::with_capacity(BUFFER, reader);
        Ok((pieces::read(reader, self.kind), tally))
    }

    /// Refuses a file with rows that cannot be used, before an hour is spent on those before them.
    pub(crate) fn check(&self) -> Result<(), CorpusError> {
        let (mut first, mut bad, mut total) = (Vec::new(), 0, 0);
        for piece in self.pieces()?.0 {
            match piece {
                Ok(piece) => total += usize::from(piece.is_last),
                Err(error) => {
                    (bad, total) = (bad + 1, total + 1);
                    if first.len() < SHOWN {
                        first.push(error);
                    }
                }
            }
        }
        if bad == 0 {
            return Ok(());
        }
        let path = self.path.clone();
        Err(CorpusError::Data(DataError::BadRows {
            path,
            first,
            bad,
            total,
        }))
    }

    /// One row that cannot be used, as an error of the file.
    pub(crate) fn bad_row(&self, error: RowError) -> CorpusError {
        DataError::bad_rows(self.path.clone(), vec![error], 1).into()
    }
}
