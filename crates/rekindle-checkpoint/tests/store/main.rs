//! The store and the lock on real folders, on failing disks, and on disks that lose power.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod basics;
mod damage;
mod faults;
mod full_disk;
mod lock;
mod power;
mod prune;
mod scenario;

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rekindle_checkpoint::{
    Checkpoint, Content, Disk, DurableFile, FileSystem, SaveError, Saved, Store,
};
use tempfile::TempDir;

/// The weights that the checkpoint of a step has in one of its versions.
fn weights(step: usize, version: char) -> Vec<u8> {
    format!("{step}{version}").repeat(100).into_bytes()
}

/// Saves a checkpoint of two files, the first of which comes in three pieces.
fn save(store: &Store, step: usize, version: char) -> Result<Saved, SaveError> {
    let weights = weights(step, version);
    let weights = Content::new("weights.bin", move |out| {
        for piece in weights.chunks(weights.len().div_ceil(3)) {
            out.write_all(piece)?;
            out.flush()?;
        }
        Ok::<_, std::io::Error>(())
    });
    let state = Content::new("state.json", |out| out.write_all(b"{}"));
    store.save(step, vec![weights, state])
}

/// The version that a checkpoint holds in full.
fn version(checkpoint: &Checkpoint) -> char {
    let found = fs::read(checkpoint.file("weights.bin").unwrap()).unwrap();
    let state = fs::read(checkpoint.file("state.json").unwrap()).unwrap();
    assert_eq!(state, b"{}");
    let version = char::from(*found.last().unwrap());
    assert_eq!(found, weights(checkpoint.step(), version));
    version
}

/// The real disk, but nothing waits for it: these tests sync some ten thousand times.
#[derive(Clone, Copy)]
struct Hasty;

impl Disk for Hasty {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        FileSystem.create_dir(folder)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DurableFile>> {
        Ok(Box::new(HastyFile(FileSystem.create(file)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystem.rename(from, to)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        FileSystem.remove_all(path)
    }
}

struct HastyFile(Box<dyn DurableFile>);

impl Write for HastyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DurableFile for HastyFile {
    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder in memory where there is one: these tests create and remove some hundred thousand files.
fn temporary_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A run's folder, which goes away at the end of a test.
struct Run(TempDir);

impl Run {
    fn new() -> Self {
        Self(temporary_folder())
    }

    fn checkpoints(&self) -> PathBuf {
        self.0.path().join("checkpoints")
    }

    fn store(&self) -> Store {
        Store::on(self.checkpoints(), Box::new(Hasty))
    }

    fn step(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!("step-{step:06}"))
    }

    fn replaced(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!(".step-{step:06}.replaced"))
    }

    /// Step and version of the newest checkpoint.
    fn newest(&self) -> Option<(usize, char)> {
        let checkpoint = self.store().newest().unwrap().checkpoint?;
        Some((checkpoint.step(), version(&checkpoint)))
    }

    /// All names in the folder of checkpoints, sorted.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = self.checkpoints().read_dir() else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The names of steps whose checkpoints cannot be opened.
    fn broken(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| {
            let step = name.strip_prefix("step-").map(|step| step.parse().unwrap());
            step.is_some_and(|step| self.store().open(step).is_err())
        });
        names
    }

    /// Flips a bit of a checkpoint's weights.
    fn damage(&self, step: usize) {
        let path = self.step(step).join("weights.bin");
        let byte = fs::read(&path).unwrap()[7] ^ 1;
        // In place: file systems wait for the disk after a file has been emptied and written anew.
        let mut file = File::options().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(7)).unwrap();
        file.write_all(&[byte]).unwrap();
    }
}
