//! Every act on the disk fails in turn: once, or from then on, as if the process had been killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rekindle_checkpoint::{Content, Disk, DurableFile, SaveError, Store};

use crate::scenario::{SCENARIOS, Scenario};
use crate::{Hasty, Run, save};

/// Which acts fail, and which have failed.
struct Plan {
    failing: Range<usize>,
    count: usize,
    failed: Vec<&'static str>,
}

/// A disk with acts that fail halfway.
#[derive(Clone)]
struct Faulty(Arc<Mutex<Plan>>);

impl Faulty {
    fn new(failing: Range<usize>) -> Self {
        Self(Arc::new(Mutex::new(Plan {
            failing,
            count: 0,
            failed: Vec::new(),
        })))
    }

    fn failed(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().failed.clone()
    }

    /// Counts an act. The first that fails does `half` of its work before.
    fn act<T>(
        &self,
        name: &'static str,
        half: impl FnOnce(),
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut plan = self.0.lock().unwrap();
        let fails = plan.failing.contains(&plan.count);
        plan.count += 1;
        if !fails {
            return act();
        }
        if plan.failed.is_empty() {
            half();
        }
        plan.failed.push(name);
        Err(io::Error::other("the disk is out of order"))
    }
}

impl Disk for Faulty {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        self.act("create_dir", || {}, || Hasty.create_dir(folder))
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DurableFile>> {
        let half = || drop(fs::write(file, b""));
        let inner = self.act("create", half, || Hasty.create(file))?;
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            inner,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act("rename", || {}, || Hasty.rename(from, to))
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.act("sync_dir", || {}, || Hasty.sync_dir(folder))
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        let half = || drop(fs::remove_file(path.join("weights.bin")));
        self.act("remove_all", half, || Hasty.remove_all(path))
    }
}

struct FaultyFile {
    disk: Faulty,
    inner: Box<dyn DurableFile>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inner = std::cell::RefCell::new(&mut self.inner);
        let half = || {
            inner
                .borrow_mut()
                .write_all(&bytes[..bytes.len() / 2])
                .unwrap();
        };
        // The other half is for the next call, as a real disk may do it.
        let short = &bytes[..bytes.len().div_ceil(2)];
        self.disk
            .act("write", half, || inner.borrow_mut().write(short))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl DurableFile for FaultyFile {
    fn sync_all(&mut self) -> io::Result<()> {
        let inner = &mut self.inner;
        self.disk.act("sync_all", || {}, || inner.sync_all())
    }
}

/// Lets acts of a scenario fail, each in turn with the others that `failing` names for it, until none is left.
fn each_act(failing: fn(usize) -> Range<usize>, check: fn(&Scenario, &Run, &Faulty, bool)) {
    let mut kinds = BTreeSet::new();
    for scenario in &SCENARIOS {
        let newest = scenario.newest();
        for k in 0.. {
            let run = scenario.start();
            let broken = run.broken();
            let disk = Faulty::new(failing(k));
            let is_done = scenario.act(&Store::on(run.checkpoints(), Box::new(disk.clone())));
            let Some(kind) = disk.failed().first().copied() else {
                assert!(is_done && k > 0, "{}", scenario.name);
                break;
            };
            kinds.insert(kind);
            let found = run.newest();
            let expected = if is_done { &newest[1..] } else { &newest };
            let what = format!("{}, act {k} ({kind})", scenario.name);
            assert!(expected.contains(&found), "{what}: {found:?}");
            let mut more = run.broken();
            more.retain(|name| !broken.contains(name));
            assert_eq!(more, [""; 0], "{what}: half a checkpoint");
            check(scenario, &run, &disk, is_done);
            check_recovery(&run, &run.store(), &newest, &what);
        }
    }
    let all = [
        "create",
        "create_dir",
        "remove_all",
        "rename",
        "sync_all",
        "sync_dir",
        "write",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

/// A new process cleans up, finds what was there, and can save the same step and a later one.
pub(crate) fn check_recovery(
    run: &Run,
    store: &Store,
    newest: &[Option<(usize, char)>],
    what: &str,
) {
    let found = run.newest();
    store.sweep().unwrap();
    assert_eq!(run.newest(), found, "{what}: sweeping");
    assert!(newest.contains(&found), "{what}: {found:?}");
    let is_hidden = |name: &String| name.starts_with('.');
    assert!(!run.names().iter().any(is_hidden), "{what}");
    for (step, version) in [(found.map_or(1, |(step, _)| step), 'y'), (9, 'z')] {
        save(store, step, version).unwrap();
        assert_eq!(run.newest(), Some((step, version)), "{what}");
    }
}

#[test]
fn after_any_single_failure_the_old_or_the_new_is_there_and_the_next_save_works() {
    each_act(
        |k| k..k + 1,
        |scenario, run, disk, is_done| {
            let what = format!("{}, {:?}", scenario.name, disk.failed());
            // A failure is reported, unless all that it means is a folder left to the next sweep.
            assert!(!is_done || disk.failed() == ["remove_all"], "{what}");
            // The same process goes on with the same store, without sweeping.
            let store = Store::on(run.checkpoints(), Box::new(disk.clone()));
            save(&store, 8, 'x').unwrap();
            assert_eq!(run.newest(), Some((8, 'x')), "{what}");
            fs::remove_dir_all(run.step(8)).unwrap();
        },
    );
}

#[test]
fn after_being_killed_at_any_act_the_old_or_the_new_is_there_and_the_next_save_works() {
    each_act(|k| k..usize::MAX, |_, _, _, _| {});
}

#[test]
fn a_failed_save_leaves_nothing_of_its_own() {
    for step in [1, 2] {
        for k in 0.. {
            let run = Run::new();
            save(&run.store(), 1, 'a').unwrap();
            let disk = Faulty::new(k..k + 1);
            let store = Store::on(run.checkpoints(), Box::new(disk.clone()));
            if save(&store, step, 'b').is_ok() {
                assert!(k > 10);
                break;
            }
            let names = run.names();
            // At the last sync the new one is in its place, and may or may not be on the disk.
            let is_last = disk.failed() == ["sync_dir"] && run.newest() == Some((step, 'b'));
            assert!(names == ["step-000001"] || is_last, "act {k}: {names:?}");
        }
    }
}

#[test]
fn a_write_that_fails_amid_a_big_content_is_the_error_that_is_reported() {
    let big = vec![7; 5 << 20];
    for k in 6..12 {
        let run = Run::new();
        let store = Store::on(run.checkpoints(), Box::new(Faulty::new(k..k + 1)));
        // Whoever writes does not care.
        let content = Content::new("big.bin", |out| {
            for piece in big.chunks(100_000) {
                let _ = out.write_all(piece);
            }
            Ok::<_, io::Error>(())
        });
        let error = store.save(1, vec![content]).unwrap_err();
        let SaveError::Write { path, source } = error else {
            panic!("{error}");
        };
        assert!(path.ends_with(".step-000001.partial/big.bin"));
        assert_eq!(source.to_string(), "the disk is out of order");
        assert_eq!(run.names(), [""; 0]);
    }
}
