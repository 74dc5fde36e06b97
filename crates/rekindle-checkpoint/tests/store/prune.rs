//! Pruning keeps what must be kept, and touches nothing else.

use std::fs;

use crate::{Run, save};

/// A run with checkpoints of steps 1 to 5.
fn five() -> Run {
    let run = Run::new();
    for step in 1..=5 {
        save(&run.store(), step, 'a').unwrap();
    }
    run
}

/// The steps whose folders are there.
fn steps(run: &Run) -> Vec<usize> {
    (0..10).filter(|&step| run.step(step).exists()).collect()
}

#[test]
fn the_newest_stay() {
    for (keep_last, kept) in [
        (0, vec![5]),
        (1, vec![5]),
        (2, vec![4, 5]),
        (9, vec![1, 2, 3, 4, 5]),
    ] {
        let run = five();
        let removed = run.store().prune(5, keep_last, &[]).unwrap();
        assert_eq!(steps(&run), kept);
        assert_eq!(removed.len(), 5 - kept.len());
        assert!(removed.iter().all(|path| !path.exists()));
        assert_eq!(run.names().len(), kept.len());
        assert_eq!(run.newest(), Some((5, 'a')));
    }
}

#[test]
fn the_best_stays() {
    let run = five();
    run.store().prune(5, 1, &[2, 7]).unwrap();
    assert_eq!(steps(&run), [2, 5]);
}

#[test]
fn newer_ones_than_the_one_just_saved_stay() {
    let run = five();
    run.store().prune(3, 1, &[]).unwrap();
    assert_eq!(steps(&run), [3, 4, 5]);
}

#[test]
fn a_damaged_one_does_not_count_as_kept() {
    let run = five();
    fs::remove_file(run.step(4).join("weights.bin")).unwrap();
    run.store().prune(5, 2, &[]).unwrap();
    assert_eq!(steps(&run), [3, 5]);
}

#[test]
fn nothing_goes_when_the_one_just_saved_is_not_there() {
    let run = five();
    fs::remove_file(run.step(5).join("weights.bin")).unwrap();
    for newest in [5, 6] {
        assert_eq!(run.store().prune(newest, 1, &[]).unwrap().len(), 0);
    }
    assert_eq!(steps(&run), [1, 2, 3, 4, 5]);
}

#[test]
fn foreign_folders_and_files_are_left_alone() {
    let run = five();
    let at = |name: &str| run.checkpoints().join(name);
    // One without a manifest, one with another program's, one with that of another step.
    fs::create_dir(at("step-000000")).unwrap();
    fs::write(run.step(1).join("manifest.json"), "{}").unwrap();
    fs::copy(
        run.step(3).join("manifest.json"),
        run.step(2).join("manifest.json"),
    )
    .unwrap();
    fs::create_dir(at("best")).unwrap();
    fs::create_dir(at("step-3")).unwrap();
    fs::create_dir(at(".step-3.partial")).unwrap();
    fs::write(at("notes.txt"), "mine").unwrap();
    let store = run.store();
    store.prune(5, 1, &[]).unwrap();
    assert_eq!(store.sweep().unwrap().len(), 0);
    let left = [
        ".step-3.partial",
        "best",
        "notes.txt",
        "step-000000",
        "step-000001",
        "step-000002",
        "step-000005",
        "step-3",
    ];
    assert_eq!(run.names(), left);
}

#[test]
fn sweeping_removes_what_is_half_written() {
    let run = five();
    let partial = run.checkpoints().join(".step-000006.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("weights.bin"), "half").unwrap();
    assert_eq!(run.store().sweep().unwrap(), [partial]);
    assert_eq!(run.names().len(), 5);
}

#[test]
fn of_two_of_one_step_the_right_one_stays() {
    for (is_new_damaged, is_old_damaged, left) in
        [(false, false, 'b'), (true, false, 'a'), (false, true, 'b')]
    {
        let run = Run::new();
        save(&run.store(), 1, 'a').unwrap();
        if is_old_damaged {
            run.damage(1);
        }
        let aside = run.0.path().join("aside");
        fs::rename(run.step(1), &aside).unwrap();
        save(&run.store(), 1, 'b').unwrap();
        if is_new_damaged {
            run.damage(1);
        }
        fs::rename(aside, run.replaced(1)).unwrap();
        assert_eq!(run.newest(), Some((1, left)));
        assert_eq!(run.store().open(1).unwrap().step(), 1);
        assert_eq!(run.store().sweep().unwrap().len(), 1);
        assert_eq!(run.names(), ["step-000001"]);
        assert_eq!(run.newest(), Some((1, left)));
    }
}
