//! Damage is found, named, and passed over.

use std::fs;

use rekindle_checkpoint::{Content, Damage};

use crate::{Run, save};

/// What is wrong with the checkpoint of step 2 after a change to it, while that of step 1 is fine.
fn reason(change: impl FnOnce(&Run)) -> String {
    let run = Run::new();
    save(&run.store(), 1, 'a').unwrap();
    save(&run.store(), 2, 'a').unwrap();
    change(&run);
    let newest = run.store().newest().unwrap();
    assert_eq!(newest.checkpoint.unwrap().step(), 1);
    let [damaged] = newest.damaged.try_into().unwrap();
    assert_eq!(damaged.path, run.step(2));
    let reason = damaged.reason.to_string();
    assert_eq!(run.store().open(2).unwrap_err().to_string(), reason);
    let folder = format!("{}/", run.step(2).display());
    assert!(reason.contains(&folder), "{reason}");
    reason.replace(&folder, "")
}

#[test]
fn a_flipped_bit_is_found() {
    assert_eq!(
        reason(|run| run.damage(2)),
        "`weights.bin` does not have the hash that it was saved with"
    );
}

#[test]
fn a_truncated_or_longer_file_is_found() {
    let resize = |bytes: &'static [u8]| {
        move |run: &Run| fs::write(run.step(2).join("state.json"), bytes).unwrap()
    };
    assert_eq!(reason(resize(b"{")), "`state.json` has 1 bytes, not 2");
    assert_eq!(reason(resize(b"{ }")), "`state.json` has 3 bytes, not 2");
}

#[test]
fn a_missing_file_is_found() {
    let remove = |run: &Run| fs::remove_file(run.step(2).join("state.json")).unwrap();
    assert_eq!(reason(remove), "there is no `state.json`");
    let put_folder = |run: &Run| {
        remove(run);
        fs::create_dir(run.step(2).join("state.json")).unwrap();
    };
    assert_eq!(reason(put_folder), "there is no `state.json`");
}

#[test]
fn a_missing_or_invalid_manifest_is_found() {
    let remove = |run: &Run| fs::remove_file(run.step(2).join("manifest.json")).unwrap();
    assert_eq!(reason(remove), "there is no `manifest.json`");
    let write = |text: &'static str| {
        move |run: &Run| fs::write(run.step(2).join("manifest.json"), text).unwrap()
    };
    for text in [
        "",
        "{",
        "[]",
        r#"{"version": 1, "step": 2}"#,
        r#"{"version": 1, "step": 2, "files": [], "more": 1}"#,
        r#"{"version": 1, "step": 2, "files": [{"name": "../a", "bytes": 0, "sha256": ""}]}"#,
    ] {
        let found = reason(write(text));
        assert_eq!(found, "`manifest.json` is not a manifest", "{text}");
    }
    assert_eq!(
        reason(write(r#"{"version": 2, "shape": "new"}"#)),
        "`manifest.json` has version 2, not 1"
    );
    assert_eq!(
        reason(write(r#"{"version": 1, "step": 3, "files": []}"#)),
        "`manifest.json` is of step 3, not 2"
    );
}

#[test]
fn every_bit_of_every_file_counts() {
    let run = Run::new();
    let content = Content::new("weights.bin", |out| out.write_all(b"0123"));
    run.store().save(20, vec![content]).unwrap();
    for name in ["weights.bin", "manifest.json"] {
        let path = run.step(20).join(name);
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            assert!(run.store().open(20).is_err(), "{name}, bit {bit}");
        }
        fs::write(&path, bytes).unwrap();
        run.store().open(20).unwrap();
    }
}

#[test]
fn an_unknown_file_does_no_harm() {
    let run = Run::new();
    save(&run.store(), 1, 'a').unwrap();
    fs::write(run.step(1).join("notes.txt"), "mine").unwrap();
    assert_eq!(run.newest(), Some((1, 'a')));
    let checkpoint = run.store().open(1).unwrap();
    assert_eq!(checkpoint.file("notes.txt"), None);
}

#[test]
fn foreign_folders_are_no_checkpoints() {
    let run = Run::new();
    save(&run.store(), 1, 'a').unwrap();
    for name in ["step-2", "step-000002.bak", "best", ".step-000002.partial"] {
        fs::create_dir(run.checkpoints().join(name)).unwrap();
    }
    let newest = run.store().newest().unwrap();
    assert!(newest.damaged.is_empty());
    assert_eq!(newest.checkpoint.unwrap().step(), 1);
}

#[test]
fn all_damaged_ones_are_named_when_none_is_right() {
    let run = Run::new();
    for step in 1..=3 {
        save(&run.store(), step, 'a').unwrap();
        run.damage(step);
    }
    let newest = run.store().newest().unwrap();
    assert!(newest.checkpoint.is_none());
    let paths: Vec<_> = newest.damaged.into_iter().map(|found| found.path).collect();
    assert_eq!(paths, [run.step(3), run.step(2), run.step(1)]);
}

#[test]
fn a_newer_version_has_a_hint() {
    let run = Run::new();
    save(&run.store(), 1, 'a').unwrap();
    fs::write(run.step(1).join("manifest.json"), r#"{"version": 9}"#).unwrap();
    let damage = run.store().open(1).unwrap_err();
    assert!(matches!(damage, Damage::Version { found: 9, .. }));
    assert!(damage.hint().unwrap().contains("version of this program"));
}
