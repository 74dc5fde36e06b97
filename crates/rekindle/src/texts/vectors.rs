//! The vectors that a teacher gives to texts: computed once, and kept on disk in half precision.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::f16;

use super::error::TextsError;
use crate::error::Error;

/// Bytes of a number.
const NUMBER: usize = 2;

/// A file of vectors, one for each text.
#[derive(Debug)]
pub(crate) struct Vectors {
    path: PathBuf,
    width: usize,
    file: Mutex<File>,
}

impl Vectors {
    /// Opens the vectors of `count` texts at `path`, and has `compute` make those that are not there.
    ///
    /// `compute` gets the number of the first text that it is asked for, and a sink that takes the vectors
    /// from there on. What it wrote before it was killed is kept; another process that makes the same ones
    /// is waited for.
    pub(crate) fn open(
        path: &Path,
        [count, width]: [usize; 2],
        compute: impl FnOnce(usize, &mut Sink) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let failed = |source| TextsError::Cache {
            path: path.to_owned(),
            source,
        };
        let bytes = (count * width * NUMBER) as u64;
        if !is_whole(path, bytes) {
            let folder = path.parent().unwrap_or(path);
            fs::create_dir_all(folder).map_err(failed)?;
            let partial = path.with_extension("partial");
            let mut file = OpenOptions::new();
            let file = file.create(true).append(true).read(true).open(&partial);
            let file = file.map_err(failed)?;
            file.lock().map_err(failed)?;
            if !is_whole(path, bytes) {
                let row = (width * NUMBER) as u64;
                let done = file.metadata().map_err(failed)?.len() / row;
                file.set_len(done * row).map_err(failed)?;
                let mut sink = Sink(BufWriter::new(file));
                compute(done as usize, &mut sink)?;
                let file = sink
                    .0
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                file.sync_all().map_err(failed)?;
                fs::rename(&partial, path).map_err(failed)?;
            }
        }
        let file = Mutex::new(File::open(path).map_err(failed)?);
        Ok(Self {
            path: path.to_owned(),
            width,
            file,
        })
    }

    /// The vector of a text.
    pub(crate) fn get(&self, index: usize) -> Result<Vec<f32>, Error> {
        let mut bytes = vec![0; self.width * NUMBER];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let start = SeekFrom::Start((index * bytes.len()) as u64);
        let read = file.seek(start).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|source| TextsError::Cache {
            path: self.path.clone(),
            source,
        })?;
        let (numbers, _) = bytes.as_chunks::<NUMBER>();
        let number = |bytes: &[u8; NUMBER]| f16::from_le_bytes(*bytes).to_f32();
        Ok(numbers.iter().map(number).collect())
    }
}

fn is_whole(path: &Path, bytes: u64) -> bool {
    path.metadata().is_ok_and(|file| file.len() == bytes)
}

/// Takes vectors in the order of their texts.
pub(crate) struct Sink(BufWriter<File>);

impl Sink {
    /// Adds some, one after the other; they are on their way to the disk when this returns.
    pub(crate) fn write(&mut self, vectors: &[f32]) -> io::Result<()> {
        for number in vectors {
            self.0.write_all(&f16::from_f32(*number).to_le_bytes())?;
        }
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sink: &mut Sink, vectors: std::ops::Range<usize>) {
        for row in vectors {
            sink.write(&[row as f32, 0.5]).unwrap();
        }
    }

    #[test]
    fn what_was_computed_before_a_stop_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some/vectors.f16");
        let stopped = Vectors::open(&path, [5, 2], |from, sink| {
            assert_eq!(from, 0);
            write(sink, 0..3);
            Err(Error::OneLabel(String::new()))
        });
        assert!(matches!(stopped, Err(Error::OneLabel(_))));
        // The process was killed in the middle of a number.
        let mut partial = OpenOptions::new()
            .append(true)
            .open(path.with_extension("partial"))
            .unwrap();
        partial.write_all(&[1, 2, 3]).unwrap();
        let vectors = Vectors::open(&path, [5, 2], |from, sink| {
            assert_eq!(from, 3);
            write(sink, 3..5);
            Ok(())
        });
        let vectors = vectors.unwrap();
        for row in 0..5 {
            assert_eq!(vectors.get(row).unwrap(), [row as f32, 0.5]);
        }
        Vectors::open(&path, [5, 2], |_, _| panic!("they are there")).unwrap();
    }

    #[test]
    fn vectors_of_other_texts_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.f16");
        fs::write(&path, [0; 7]).unwrap();
        let vectors = Vectors::open(&path, [2, 2], |from, sink| {
            write(sink, from..2);
            Ok(())
        });
        assert_eq!(vectors.unwrap().get(1).unwrap(), [1.0, 0.5]);
    }
}
