//! One process at a time writes to a run.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rekindle_checkpoint::{LockError, RunLock};

use crate::Run;

/// Tells a copy of this program which folder to lock.
const FOLDER: &str = "REKINDLE_TEST_LOCK_FOLDER";

fn held_by(folder: &Path) -> Option<u32> {
    match RunLock::acquire(folder) {
        Err(LockError::Held { pid, path }) => {
            assert_eq!(path, folder.join("run.lock"));
            pid
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_holder_is_refused_until_the_first_is_gone() {
    let run = Run::new();
    let folder = run.0.path();
    assert!(!RunLock::is_held(folder));
    let lock = RunLock::acquire(folder).unwrap();
    assert!(RunLock::is_held(folder));
    assert_eq!(held_by(folder), Some(std::process::id()));
    assert!(RunLock::is_held(folder), "asking does not disturb");
    drop(lock);
    assert!(!RunLock::is_held(folder));
    let error = {
        let _again = RunLock::acquire(folder).unwrap();
        RunLock::acquire(folder).unwrap_err()
    };
    let expected = format!("is locked by process {}", std::process::id());
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert_eq!(error.hint().unwrap(), "wait until it ends, or stop it");
}

#[test]
fn asking_all_the_time_keeps_nobody_out() {
    let run = Run::new();
    let folder = run.0.path();
    drop(RunLock::acquire(folder).unwrap());
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(order) {
                RunLock::is_held(folder);
            }
        });
        let results: Vec<_> = (0..50)
            .map(|_| RunLock::acquire(folder).map(drop))
            .collect();
        is_over.store(true, order);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    });
}

#[test]
fn a_shorter_process_id_leaves_nothing_of_a_longer_one() {
    let run = Run::new();
    fs::write(run.0.path().join("run.lock"), "99999999999999\nmore").unwrap();
    let _lock = RunLock::acquire(run.0.path()).unwrap();
    assert_eq!(held_by(run.0.path()), Some(std::process::id()));
}

#[test]
fn a_missing_folder_is_an_error_with_a_hint() {
    let run = Run::new();
    let error = RunLock::acquire(&run.0.path().join("none")).unwrap_err();
    assert!(matches!(&error, LockError::Open { .. }), "{error}");
    assert!(error.hint().unwrap().contains("the folder is there"));
}

#[test]
fn a_killed_holder_frees_the_lock() {
    // The copy of this program that is started below: it holds the lock until it is killed.
    if let Some(folder) = env::var_os(FOLDER) {
        let _lock = RunLock::acquire(Path::new(&folder)).unwrap();
        println!("\nlocked");
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let run = Run::new();
    let folder = run.0.path();
    let mut holder = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "lock::a_killed_holder_frees_the_lock",
        ])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let is_locked = output.lines().any(|line| line.unwrap() == "locked");
    let found = RunLock::acquire(folder).map(drop);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(is_locked);
    assert!(
        matches!(found, Err(LockError::Held { pid, .. }) if pid == Some(holder.id())),
        "{found:?}"
    );
    assert!(!RunLock::is_held(folder));
    RunLock::acquire(folder).unwrap();
}
