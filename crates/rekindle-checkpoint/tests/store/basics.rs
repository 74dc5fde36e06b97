//! Saving and opening on a disk that does as told.

use std::fs;
use std::io;

use rekindle_checkpoint::{Content, Damage, SaveError, Store};

use crate::{Run, save, version};

fn bytes(name: &str) -> Content<'_> {
    Content::new(name, |out| out.write_all(b"bytes"))
}

#[test]
fn a_store_without_a_folder_is_empty() {
    let run = Run::new();
    assert_eq!(run.newest(), None);
    assert_eq!(run.store().sweep().unwrap().len(), 0);
    assert_eq!(run.store().prune(1, 1, &[]).unwrap().len(), 0);
    assert!(matches!(
        run.store().open(1),
        Err(Damage::NoManifest { .. })
    ));
    assert!(!run.checkpoints().exists());
}

#[test]
fn what_is_saved_is_found_with_its_size() {
    let run = Run::new();
    let store = Store::new(run.0.path().join("a/b/checkpoints"));
    let saved = save(&store, 120, 'a').unwrap();
    assert!(saved.path.ends_with("a/b/checkpoints/step-000120"));
    assert_eq!(saved.bytes, 402);
    assert!(saved.hash_seconds > 0.0 && saved.hash_seconds < saved.seconds);
    let checkpoint = store.open(120).unwrap();
    assert_eq!((checkpoint.step(), version(&checkpoint)), (120, 'a'));
    assert_eq!(checkpoint.path(), saved.path);
    assert_eq!(checkpoint.file("manifest.json"), None);
}

#[test]
fn the_manifest_names_sizes_and_hashes() {
    let run = Run::new();
    run.store().save(3, vec![bytes("a.bin")]).unwrap();
    let manifest = fs::read_to_string(run.step(3).join("manifest.json")).unwrap();
    // `printf bytes | sha256sum`
    let expected = r#"{
  "version": 1,
  "step": 3,
  "files": [
    {
      "name": "a.bin",
      "bytes": 5,
      "sha256": "HASH"
    }
  ]
}
"#
    .replace("HASH", BYTES_SHA256);
    assert_eq!(manifest, expected);
}

const BYTES_SHA256: &str = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9";

#[test]
fn steps_are_ordered_as_numbers() {
    let run = Run::new();
    for step in [999_999, 1_000_000, 2] {
        save(&run.store(), step, 'a').unwrap();
    }
    assert_eq!(run.newest(), Some((1_000_000, 'a')));
}

#[test]
fn a_checkpoint_without_files_is_one() {
    let run = Run::new();
    run.store().save(1, Vec::new()).unwrap();
    assert_eq!(run.store().open(1).unwrap().step(), 1);
}

#[test]
fn names_that_leave_the_folder_or_clash_are_refused_before_anything_is_written() {
    let run = Run::new();
    for name in [
        "",
        "../a",
        "a/b",
        ".hidden",
        "manifest.json",
        "MANIFEST.json",
    ] {
        let error = run.store().save(1, vec![bytes(name)]).unwrap_err();
        assert!(matches!(error, SaveError::Name { .. }), "{name}: {error}");
    }
    let error = run
        .store()
        .save(1, vec![bytes("a"), bytes("A")])
        .unwrap_err();
    assert_eq!(error.to_string(), "two files of a checkpoint are named `A`");
    assert!(!run.checkpoints().exists());
}

#[test]
fn the_error_of_a_content_is_kept() {
    let run = Run::new();
    let failing = Content::new("a.bin", |_| Err::<(), _>(io::Error::other("no tensor")));
    let error = run.store().save(1, vec![failing]).unwrap_err();
    let SaveError::Content { path, source } = error else {
        panic!("{error}");
    };
    assert!(path.ends_with("a.bin"));
    assert_eq!(source.to_string(), "no tensor");
    assert_eq!(run.names(), [""; 0]);
}

#[test]
fn whatever_has_the_name_of_a_step_is_replaced() {
    let run = Run::new();
    fs::create_dir(run.checkpoints()).unwrap();
    fs::write(run.step(1), "a file").unwrap();
    save(&run.store(), 1, 'a').unwrap();
    fs::remove_file(run.step(1).join("manifest.json")).unwrap();
    save(&run.store(), 1, 'b').unwrap();
    assert_eq!(run.newest(), Some((1, 'b')));
    assert_eq!(run.names(), ["step-000001"]);
}

#[cfg(unix)]
#[test]
fn folders_have_the_rights_that_the_process_gives() {
    use std::os::unix::fs::PermissionsExt;

    let run = Run::new();
    save(&run.store(), 1, 'a').unwrap();
    let usual = run.0.path().join("usual");
    fs::create_dir(&usual).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(run.step(1)), mode(usual));
}
