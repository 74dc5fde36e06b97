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

/// How many vectors texts have.
#[derive(Debug)]
pub(super) enum Counts {
    /// So many texts, each with one.
    One(usize),
    /// Where each text's begin, and the number of all.
    Starts(Vec<u64>),
}

impl Counts {
    /// So many vectors for each text.
    pub(super) fn of(counts: &[usize]) -> Self {
        let mut all = 0;
        let ends = counts.iter().map(|&count| {
            all += count as u64;
            all
        });
        Self::Starts(std::iter::once(0).chain(ends).collect())
    }

    /// Number of vectors that come before a text's; of all for the number of texts.
    fn before(&self, text: usize) -> u64 {
        match self {
            Self::One(_) => text as u64,
            Self::Starts(starts) => starts[text],
        }
    }

    fn texts(&self) -> usize {
        match self {
            Self::One(texts) => *texts,
            Self::Starts(starts) => starts.len() - 1,
        }
    }

    /// How many texts have all their vectors among the first so many.
    fn whole(&self, vectors: u64) -> usize {
        match self {
            Self::One(texts) => (vectors as usize).min(*texts),
            Self::Starts(starts) => starts[1..].partition_point(|&end| end <= vectors),
        }
    }
}

/// A file of vectors of texts.
#[derive(Debug)]
pub(super) struct Vectors {
    path: PathBuf,
    counts: Counts,
    width: usize,
    file: Mutex<File>,
}

impl Vectors {
    /// Opens the vectors of texts at `path`, each of `width` numbers, and has `compute` make those that are not there.
    ///
    /// `compute` gets the number of the first text that it is asked for, and a sink that takes the vectors
    /// from there on. What it wrote before it was killed is kept; another process that makes the same ones
    /// is waited for.
    pub(super) fn open(
        path: &Path,
        (counts, width): (Counts, usize),
        compute: impl FnOnce(usize, &mut Sink) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let failed = |source| TextsError::Cache {
            path: path.to_owned(),
            source,
        };
        let row = (width * NUMBER) as u64;
        let bytes = counts.before(counts.texts()) * row;
        if !is_whole(path, bytes) {
            let folder = path.parent().unwrap_or(path);
            fs::create_dir_all(folder).map_err(failed)?;
            let partial = path.with_extension("partial");
            let mut file = OpenOptions::new();
            let file = file.create(true).append(true).read(true).open(&partial);
            let file = file.map_err(failed)?;
            file.lock().map_err(failed)?;
            if !is_whole(path, bytes) {
                let done = counts.whole(file.metadata().map_err(failed)?.len() / row);
                let there = counts.before(done) * row;
                file.set_len(there).map_err(failed)?;
                let mut sink = Sink {
                    file: BufWriter::new(file),
                    bytes: [there, bytes],
                };
                compute(done, &mut sink)?;
                let file = sink
                    .file
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                file.sync_all().map_err(failed)?;
                fs::rename(&partial, path).map_err(failed)?;
            }
        }
        let file = Mutex::new(File::open(path).map_err(failed)?);
        Ok(Self {
            path: path.to_owned(),
            counts,
            width,
            file,
        })
    }

    /// Numbers of a vector.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The vectors of a text, one after the other.
    pub(super) fn get(&self, text: usize) -> Result<Vec<f32>, Error> {
        let row = self.width * NUMBER;
        let [start, end] = [text, text + 1].map(|text| self.counts.before(text) as usize * row);
        let mut bytes = vec![0; end - start];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let start = SeekFrom::Start(start as u64);
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
pub(super) struct Sink {
    file: BufWriter<File>,
    /// Bytes that are there, and that are to be.
    bytes: [u64; 2],
}

impl Sink {
    /// Adds some, one after the other, and tells their bytes; they are on their way to the disk when this returns.
    pub(super) fn write(&mut self, vectors: &[f32]) -> io::Result<u64> {
        for number in vectors {
            self.file.write_all(&f16::from_f32(*number).to_le_bytes())?;
        }
        self.file.flush()?;
        Ok((vectors.len() * NUMBER) as u64)
    }

    /// How many bytes were there at first, and how many are to be.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.bytes
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
        let stopped = Vectors::open(&path, (Counts::One(5), 2), |from, sink| {
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
        let vectors = Vectors::open(&path, (Counts::One(5), 2), |from, sink| {
            assert_eq!(from, 3);
            write(sink, 3..5);
            Ok(())
        });
        let vectors = vectors.unwrap();
        for row in 0..5 {
            assert_eq!(vectors.get(row).unwrap(), [row as f32, 0.5]);
        }
        Vectors::open(&path, (Counts::One(5), 2), |_, _| panic!("they are there")).unwrap();
    }

    #[test]
    fn vectors_of_other_texts_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.f16");
        fs::write(&path, [0; 7]).unwrap();
        let vectors = Vectors::open(&path, (Counts::One(2), 2), |from, sink| {
            write(sink, from..2);
            Ok(())
        });
        assert_eq!(vectors.unwrap().get(1).unwrap(), [1.0, 0.5]);
    }

    #[test]
    fn a_text_with_part_of_its_vectors_is_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.f16");
        let counts = || (Counts::of(&[2, 0, 3, 1]), 2);
        let stopped = Vectors::open(&path, counts(), |_, sink| {
            write(sink, 0..4);
            Err(Error::OneLabel(String::new()))
        });
        assert!(stopped.is_err());
        let vectors = Vectors::open(&path, counts(), |from, sink| {
            assert_eq!(from, 2, "the first text is whole, and the second has none");
            write(sink, 2..6);
            Ok(())
        });
        let vectors = vectors.unwrap();
        let found = [0, 1, 2, 3].map(|text| vectors.get(text).unwrap());
        let first = found.map(|numbers| numbers.chunks(2).map(|x| x[0]).collect::<Vec<_>>());
        assert_eq!(
            first,
            [vec![0.0, 1.0], vec![], vec![2.0, 3.0, 4.0], vec![5.0]]
        );
    }
}
