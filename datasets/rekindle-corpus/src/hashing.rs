//! Bytes hashed on their way from and to files.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// What has gone by: how many bytes, and their hash.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) bytes: u64,
    hasher: Sha256,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// The hash in hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        hex(self.hasher.clone())
    }
}

/// What has been read of a file so far, for somebody else to see.
pub(crate) type Seen = Rc<RefCell<Tally>>;

/// A reader whose bytes are counted and hashed for somebody else to see.
pub(crate) struct HashingReader {
    file: File,
    tally: Seen,
}

impl HashingReader {
    pub(crate) fn new(file: File) -> (Self, Seen) {
        let tally = Seen::default();
        let reader = Self {
            file,
            tally: Rc::clone(&tally),
        };
        (reader, tally)
    }
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.tally.borrow_mut().add(&buffer[..length]);
        Ok(length)
    }
}

/// A file that is hashed while it is written.
pub(crate) struct HashingFile {
    pub(crate) file: File,
    pub(crate) tally: Tally,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.tally.add(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(crate) fn hex(hasher: Sha256) -> String {
    hex::encode(hasher.finalize())
}
