//! Models that are on this machine: folders, and snapshots in the Hub's cache layout.

use std::fs;
use std::path::PathBuf;

use rekindle_hub::{HubError, HubOptions, resolve};
use tempfile::{TempDir, tempdir};

use crate::server::{COMMIT, MODEL};
use crate::{Files, options, sharded_model, tiny_model, write_all};

/// A cache as `huggingface_hub` leaves it, with `main` at one commit, and options that allow no network.
fn cached(files: &Files) -> (TempDir, PathBuf, HubOptions) {
    let cache = tempdir().unwrap();
    let model = cache.path().join("models--org--tiny");
    let snapshot = model.join("snapshots").join(COMMIT);
    write_all(&snapshot, files);
    fs::create_dir(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), COMMIT).unwrap();
    let options = HubOptions {
        offline: true,
        ..options(cache.path(), "http://nowhere.invalid")
    };
    (cache, snapshot, options)
}

#[test]
fn a_complete_snapshot_is_found_offline() {
    for files in [tiny_model(), sharded_model()] {
        let (_cache, snapshot, options) = cached(&files);
        assert_eq!(resolve(MODEL, &options, &mut ()).unwrap(), snapshot);
        assert_eq!(
            resolve(&format!("{MODEL}@{COMMIT}"), &options, &mut ()).unwrap(),
            snapshot
        );
    }
}

#[test]
fn offline_says_what_was_looked_for_and_how_to_get_it() {
    let cache = tempdir().unwrap();
    let options = HubOptions {
        offline: true,
        ..options(cache.path(), "http://nowhere.invalid")
    };
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    let folder = cache.path().join("models--org--tiny");
    assert_eq!(
        error.to_string(),
        format!(
            "`org/tiny` is neither a folder nor in the cache, and offline mode forbids a download: no snapshot in `{}`",
            folder.display()
        )
    );
    let hint = error.hint().unwrap();
    for remedy in [
        "unset `HF_HUB_OFFLINE`",
        "`hf download org/tiny`",
        "set `HF_HOME`",
        "a model folder",
    ] {
        assert!(hint.contains(remedy), "{hint}");
    }
}

#[test]
fn an_incomplete_snapshot_names_what_it_lacks() {
    let lacking = |files: &Files, name: &str| {
        let mut files = files.clone();
        files.remove(name).unwrap();
        let (_cache, _snapshot, options) = cached(&files);
        match resolve(MODEL, &options, &mut ()) {
            Err(HubError::Offline { gap, .. }) => gap.missing,
            other => panic!("{other:?}"),
        }
    };
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert_eq!(lacking(&tiny_model(), name), [name]);
    }
    let shard = "model-00002-of-00002.safetensors";
    assert_eq!(lacking(&sharded_model(), shard), [shard]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_removed_blob_counts_as_missing() {
    let (_cache, snapshot, options) = cached(&tiny_model());
    fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("tokenizer.json")).unwrap();
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(": `tokenizer.json` missing in `"),
        "{error}"
    );
}

#[test]
fn a_folder_is_taken_as_it_is() {
    let (_cache, snapshot, options) = cached(&tiny_model());
    fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    assert_eq!(
        resolve(snapshot.to_str().unwrap(), &options, &mut ()).unwrap(),
        snapshot
    );
}

#[test]
fn a_folder_without_a_model_is_refused() {
    let (cache, _snapshot, options) = cached(&tiny_model());
    let error = resolve(cache.path().to_str().unwrap(), &options, &mut ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no `config.json` in `{}`", cache.path().display())
    );
    assert!(error.hint().unwrap().contains("`model.safetensors`"));
}
