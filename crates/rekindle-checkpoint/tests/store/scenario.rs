//! What may be interrupted: a state of the disk, and what is then done to it.

use std::error::Error;
use std::fs;

use rekindle_checkpoint::Store;

use crate::{Run, save};

/// Something that a store does, and from where it starts.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    prepare: fn(&Run),
    act: fn(&Store) -> Result<(), Box<dyn Error>>,
}

impl Scenario {
    /// A run in the state from which the scenario starts.
    pub(crate) fn start(&self) -> Run {
        let run = Run::new();
        (self.prepare)(&run);
        run
    }

    /// Does it; true if the store says that all went well.
    pub(crate) fn act(&self, store: &Store) -> bool {
        (self.act)(store).is_ok()
    }

    /// The newest checkpoints before and after, when nothing goes wrong.
    pub(crate) fn newest(&self) -> [Option<(usize, char)>; 2] {
        let run = self.start();
        let before = run.newest();
        assert!(self.act(&run.store()), "{}", self.name);
        [before, run.newest()]
    }
}

pub(crate) const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "a first save",
        prepare: |_| {},
        act: |store| Ok(save(store, 1, 'a').map(drop)?),
    },
    Scenario {
        name: "a later save",
        prepare: |run| drop(save(&run.store(), 1, 'a').unwrap()),
        act: |store| Ok(save(store, 2, 'a').map(drop)?),
    },
    Scenario {
        name: "saving a step again",
        prepare: |run| drop(save(&run.store(), 1, 'a').unwrap()),
        act: |store| Ok(save(store, 1, 'b').map(drop)?),
    },
    Scenario {
        name: "saving a damaged step again",
        prepare: |run| {
            save(&run.store(), 1, 'a').unwrap();
            save(&run.store(), 2, 'a').unwrap();
            run.damage(2);
        },
        act: |store| Ok(save(store, 2, 'b').map(drop)?),
    },
    Scenario {
        name: "a save and pruning",
        prepare: |run| {
            for step in 1..=3 {
                save(&run.store(), step, 'a').unwrap();
            }
        },
        act: |store| {
            save(store, 4, 'a')?;
            let removed = store.prune(4, 1, &[1])?;
            assert_eq!(removed.len(), 2);
            Ok(())
        },
    },
    Scenario {
        name: "a save after one that could not remove the replaced one",
        prepare: |run| {
            replace_halfway(run);
            save_aside(run, 'b');
        },
        act: |store| Ok(save(store, 1, 'c').map(drop)?),
    },
    Scenario {
        name: "sweeping where the new one is damaged",
        prepare: |run| {
            replace_halfway(run);
            save_aside(run, 'b');
            run.damage(1);
        },
        act: |store| Ok(store.sweep().map(drop)?),
    },
    Scenario {
        name: "sweeping where the new one never came",
        prepare: replace_halfway,
        act: |store| Ok(store.sweep().map(drop)?),
    },
];

/// The old one is moved aside, the new one is not in its place yet.
fn replace_halfway(run: &Run) {
    save(&run.store(), 1, 'a').unwrap();
    fs::rename(run.step(1), run.replaced(1)).unwrap();
}

/// Puts a checkpoint of step 1 into its place beside the replaced one.
fn save_aside(run: &Run, version: char) {
    let other = Run::new();
    save(&other.store(), 1, version).unwrap();
    fs::create_dir(run.step(1)).unwrap();
    for entry in other.step(1).read_dir().unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, run.step(1).join(path.file_name().unwrap())).unwrap();
    }
}
