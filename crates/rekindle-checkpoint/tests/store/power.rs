//! The power fails at any moment: what was not synced is lost, from the last change backwards, but for removals,
//! whose effect inside a folder may come before that of its renaming.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rekindle_checkpoint::{Disk, DurableFile, FileSystem, Store};
use tempfile::TempDir;

use crate::faults::check_recovery;
use crate::scenario::SCENARIOS;
use crate::{Run, save, temporary_folder};

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
            graves: temporary_folder(),
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

    /// Lets acts succeed again.
    fn restore(&self) {
        self.0.lock().unwrap().acts_left = usize::MAX;
    }

    /// Cuts the power after the first `kept` changes of names reached the disk, and, if so told, all removals.
    ///
    /// Tells how many changes there were.
    fn cut(self, kept: usize, removals_are_kept: bool) -> usize {
        let mut memory = self.0.lock().unwrap();
        for (_, file) in &memory.files {
            let length = file.metadata().unwrap().len();
            file.set_len(length / 2).unwrap();
        }
        let count = memory.names.len();
        while memory.names.len() > kept {
            match memory.names.pop().unwrap().change {
                Change::Removed { .. } if removals_are_kept => {}
                change => memory.undo(change),
            }
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
            // Its files have been removed for good, its old name has not.
            Change::Renamed { from, to } if !to.exists() => fs::create_dir(from).unwrap(),
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

/// Cuts the power after each act of each scenario, in every way, and checks what is left.
///
/// With `goes_on`, the acts that failed were a passing trouble: the process sweeps before the power fails.
fn cut_everywhere(goes_on: bool, removals_are_kept: bool) {
    for scenario in &SCENARIOS {
        let newest = scenario.newest();
        let mut is_last = false;
        for acts in 0.. {
            for kept in 0.. {
                let run = scenario.start();
                let broken = run.broken();
                let disk = Powered::new(acts);
                let store = Store::on(run.checkpoints(), Box::new(disk.clone()));
                let is_done = scenario.act(&store);
                is_last = !disk.is_off();
                if goes_on {
                    disk.restore();
                    store.sweep().unwrap();
                }
                let pending = disk.cut(kept, removals_are_kept);
                let found = run.newest();
                let what = format!("{}, act {acts}, {kept} of {pending} kept", scenario.name);
                // What the store has reported as saved is on the disk.
                let expected = if is_done { &newest[1..] } else { &newest };
                assert!(expected.contains(&found), "{what}: {found:?}");
                let mut more = run.broken();
                more.retain(|name| !broken.contains(name));
                assert_eq!(more, [""; 0], "{what}: half a checkpoint");
                check_recovery(&run, &run.store(), &newest, &what);
                if kept >= pending {
                    break;
                }
            }
            if is_last {
                break;
            }
        }
    }
}

#[test]
fn after_a_power_cut_at_any_moment_the_old_or_the_new_is_there() {
    cut_everywhere(false, false);
}

#[test]
fn files_that_are_gone_before_their_folder_is_renamed_do_no_harm() {
    cut_everywhere(false, true);
}

#[test]
fn a_power_cut_after_sweeping_away_a_failure_does_no_harm() {
    cut_everywhere(true, false);
    cut_everywhere(true, true);
}

#[test]
fn a_folder_that_failed_to_sync_is_synced_by_the_next_save() {
    let run = Run::new();
    // Creating the folder of checkpoints works, and nothing after it.
    let disk = Powered::new(1);
    let store = Store::on(run.checkpoints(), Box::new(disk.clone()));
    save(&store, 1, 'a').unwrap_err();
    disk.restore();
    save(&store, 1, 'a').unwrap();
    disk.cut(0, false);
    assert_eq!(run.newest(), Some((1, 'a')));
}

#[test]
fn folders_above_are_as_durable_as_the_checkpoint() {
    let run = Run::new();
    let folder = run.0.path().join("a/b/checkpoints");
    let disk = Powered::new(usize::MAX);
    save(&Store::on(&folder, Box::new(disk.clone())), 1, 'a').unwrap();
    disk.cut(0, false);
    assert_eq!(Store::new(folder).open(1).unwrap().step(), 1);
}
