//! The power fails at any moment: what was not synced is lost, from the last change backwards.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rekindle_checkpoint::{Disk, DurableFile, FileSystem, Store};
use tempfile::TempDir;

use crate::faults::check_recovery;
use crate::scenario::SCENARIOS;
use crate::{Run, save};

/// A change of a name in a folder that is not on the disk yet.
struct Pending {
    folder: PathBuf,
    change: Change,
}

enum Change {
    Created(PathBuf),
    Renamed { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf, grave: PathBuf },
}

/// What a disk knows that has not been written yet.
struct Memory {
    acts_left: usize,
    names: Vec<Pending>,
    files: Vec<(usize, File)>,
    graves: TempDir,
    count: usize,
}

/// A disk that loses its power after a number of acts.
#[derive(Clone)]
struct Powered(Arc<Mutex<Memory>>);

impl Powered {
    fn new(acts: usize) -> Self {
        Self(Arc::new(Mutex::new(Memory {
            acts_left: acts,
            names: Vec::new(),
            files: Vec::new(),
            graves: tempfile::tempdir().unwrap(),
            count: 0,
        })))
    }

    fn act<T>(&self, act: impl FnOnce(&mut Memory) -> io::Result<T>) -> io::Result<T> {
        let mut memory = self.0.lock().unwrap();
        let Some(left) = memory.acts_left.checked_sub(1) else {
            return Err(io::Error::other("no power"));
        };
        memory.acts_left = left;
        memory.count += 1;
        act(&mut memory)
    }

    fn is_off(&self) -> bool {
        self.0.lock().unwrap().acts_left == 0
    }

    /// Cuts the power after the first `kept` changes of names reached the disk; tells how many there were.
    fn cut(self, kept: usize) -> usize {
        let mut memory = self.0.lock().unwrap();
        for (_, file) in &memory.files {
            let length = file.metadata().unwrap().len();
            file.set_len(length / 2).unwrap();
        }
        let count = memory.names.len();
        while memory.names.len() > kept {
            let change = memory.names.pop().unwrap().change;
            memory.undo(change);
        }
        count
    }
}

impl Memory {
    fn note(&mut self, path: &Path, change: Change) {
        let folder = path.parent().unwrap().to_owned();
        self.names.push(Pending { folder, change });
    }

    fn undo(&mut self, change: Change) {
        match change {
            // It may be in a folder that has been removed.
            Change::Created(path) => drop(FileSystem.remove_all(&path)),
            Change::Renamed { from, to } => {
                fs::rename(&to, &from).unwrap();
                self.follow(&to, &from);
            }
            Change::Removed { path, grave } => fs::rename(grave, path).unwrap(),
        }
    }

    /// What happened inside a folder goes with it when it is renamed.
    fn follow(&mut self, from: &Path, to: &Path) {
        let moved = |path: &mut PathBuf| {
            if let Ok(inside) = path.strip_prefix(from) {
                // Joining nothing would add a separator.
                *path = to.components().chain(inside.components()).collect();
            }
        };
        for Pending { folder, change } in &mut self.names {
            if folder.starts_with(from) {
                moved(folder);
                match change {
                    Change::Created(path) | Change::Removed { path, .. } => moved(path),
                    Change::Renamed { from, to } => {
                        moved(from);
                        moved(to);
                    }
                }
            }
        }
    }
}

impl Disk for Powered {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        self.act(|memory| {
            fs::create_dir(folder)?;
            memory.note(folder, Change::Created(folder.to_owned()));
            Ok(())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DurableFile>> {
        self.act(|memory| {
            let file = File::create_new(path)?;
            memory.note(path, Change::Created(path.to_owned()));
            let id = memory.count;
            memory.files.push((id, file.try_clone()?));
            let disk = self.clone();
            Ok(Box::new(PoweredFile { disk, id, file }) as Box<dyn DurableFile>)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(|memory| {
            fs::rename(from, to)?;
            memory.follow(from, to);
            let (from, to) = (from.to_owned(), to.to_owned());
            memory.note(&to.clone(), Change::Renamed { from, to });
            Ok(())
        })
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.act(|memory| {
            memory.names.retain(|pending| pending.folder != folder);
            Ok(())
        })
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.act(|memory| {
            let grave = memory.graves.path().join(memory.count.to_string());
            fs::rename(path, &grave)?;
            let (from, path) = (path, path.to_owned());
            memory.note(from, Change::Removed { path, grave });
            Ok(())
        })
    }
}

struct PoweredFile {
    disk: Powered,
    id: usize,
    file: File,
}

impl Write for PoweredFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = &mut self.file;
        self.disk.act(|_| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DurableFile for PoweredFile {
    fn sync_all(&mut self) -> io::Result<()> {
        let id = self.id;
        self.disk.act(|memory| {
            memory.files.retain(|(unsynced, _)| *unsynced != id);
            Ok(())
        })
    }
}

#[test]
fn after_a_power_cut_at_any_moment_the_old_or_the_new_is_there() {
    for scenario in &SCENARIOS {
        let newest = scenario.newest();
        'acts: for acts in 0.. {
            for kept in 0.. {
                let run = scenario.start();
                let disk = Powered::new(acts);
                let is_done = scenario.act(&Store::on(run.checkpoints(), Box::new(disk.clone())));
                let is_last = !disk.is_off();
                let pending = disk.cut(kept);
                let found = run.newest();
                let what = format!("{}, act {acts}, {kept} of {pending} kept", scenario.name);
                // What the store has reported as saved is on the disk.
                let expected = if is_done { &newest[1..] } else { &newest };
                assert!(expected.contains(&found), "{what}: {found:?}");
                check_recovery(&run, &run.store(), &newest, &what);
                if kept >= pending && is_last {
                    break 'acts;
                }
                if kept >= pending {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_folder_that_failed_to_sync_is_synced_by_the_next_save() {
    let run = Run::new();
    // The power comes back after the folder of checkpoints has been created.
    let disk = Powered::new(1);
    let store = Store::on(run.checkpoints(), Box::new(disk.clone()));
    save(&store, 1, 'a').unwrap_err();
    disk.0.lock().unwrap().acts_left = usize::MAX;
    save(&store, 1, 'a').unwrap();
    disk.cut(0);
    assert_eq!(run.newest(), Some((1, 'a')));
}
