//! A real file system that is full, and one that has become read-only.

use std::path::Path;
use std::process::Command;

use rekindle_checkpoint::{Content, SaveError, Store};

use crate::{Run, save};

/// A mounted file system, until it is dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// A file system of one mebibyte in memory, where the machine and the user's rights allow it.
    fn small(folder: &'a Path) -> Option<Self> {
        let is_mounted =
            cfg!(target_os = "linux") && mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], folder);
        is_mounted.then_some(Self(folder))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let result = Command::new("umount").arg(self.0).status();
        assert!(result.unwrap().success());
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let result = Command::new("mount").args(arguments).arg(folder).output();
    result.is_ok_and(|output| output.status.success())
}

fn hint(error: &SaveError) -> String {
    error.hint().unwrap()
}

#[test]
fn a_full_disk_and_a_read_only_one_cost_one_save_only() {
    let run = Run::new();
    let Some(_mount) = Mount::small(run.0.path()) else {
        eprintln!("skipped: a small file system can be mounted by root on Linux only");
        return;
    };
    let store = Store::new(run.checkpoints());
    let big = |bytes: usize| Content::new("big.bin", move |out| out.write_all(&vec![1; bytes]));
    save(&store, 1, 'a').unwrap();
    for step in [1, 2] {
        let error = store.save(step, vec![big(2 << 20)]).unwrap_err();
        assert!(hint(&error).starts_with("free space on the disk of `"));
        assert_eq!(run.newest(), Some((1, 'a')));
        assert_eq!(run.names(), ["step-000001"]);
    }
    // Half of the disk, which is there only because nothing is left of the failed ones.
    store.save(2, vec![big(1 << 19)]).unwrap();
    assert_eq!(store.newest().unwrap().checkpoint.unwrap().step(), 2);

    assert!(mount(&["-o", "remount,ro"], run.0.path()));
    let error = save(&store, 3, 'a').unwrap_err();
    assert!(hint(&error).ends_with("must be writable"));
    assert_eq!(store.newest().unwrap().checkpoint.unwrap().step(), 2);
    assert!(mount(&["-o", "remount,rw"], run.0.path()));
    save(&store, 3, 'a').unwrap();
    assert_eq!(run.newest(), Some((3, 'a')));
}
