//! Models fetched from an imitated Hub.

use std::fs;
use std::thread;

use rekindle_hub::{HubError, resolve};

use crate::recorder::Recorder;
use crate::server::{COMMIT, Fault, MODEL};
use crate::{names, setup, sharded_model, snapshot, tiny_model};

#[test]
fn a_download_ends_in_a_complete_snapshot() {
    let (hub, cache, options) = setup(tiny_model(), None);
    let folder = resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(folder, snapshot(cache.path()));
    let expected = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&folder), expected);
    for name in expected {
        assert_eq!(
            fs::read(folder.join(name)).unwrap(),
            tiny_model()[name],
            "{name}"
        );
    }
    let main = fs::read_to_string(cache.path().join("models--org--tiny/refs/main")).unwrap();
    assert_eq!(main, COMMIT);
    assert_eq!(hub.fetched().len(), expected.len());
}

#[test]
fn a_complete_snapshot_is_used_without_asking_the_hub() {
    let (hub, _cache, mut options) = setup(tiny_model(), None);
    let first = resolve(MODEL, &options, &mut ()).unwrap();
    let requests = hub.requests().len();
    assert_eq!(resolve(MODEL, &options, &mut ()).unwrap(), first);
    options.offline = true;
    assert_eq!(resolve(MODEL, &options, &mut ()).unwrap(), first);
    assert_eq!(hub.requests().len(), requests);
}

#[test]
fn shards_are_fetched_by_their_index() {
    let (hub, _cache, options) = setup(sharded_model(), None);
    let folder = resolve(MODEL, &options, &mut ()).unwrap();
    let checkpoint = rekindle_hub::Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(hub.fetched().len(), 6);
}

#[test]
fn a_shard_that_the_repository_lacks_is_named() {
    let mut files = sharded_model();
    files.remove("model-00002-of-00002.safetensors");
    let (_hub, _cache, options) = setup(files, None);
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`org/tiny` has no `model-00002-of-00002.safetensors`"
    );
}

#[test]
fn a_partial_snapshot_is_completed() {
    let (hub, cache, options) = setup(tiny_model(), None);
    let folder = snapshot(cache.path());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), &tiny_model()["config.json"]).unwrap();
    fs::write(folder.join("tokenizer_config.json"), "{").unwrap();
    resolve(MODEL, &options, &mut ()).unwrap();
    let mut fetched = hub.fetched();
    fetched.sort();
    assert_eq!(
        fetched,
        [
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert_eq!(
        fs::read(folder.join("tokenizer_config.json")).unwrap(),
        tiny_model()["tokenizer_config.json"]
    );
}

#[test]
fn a_revision_is_fetched_and_remembered() {
    let (_hub, cache, mut options) = setup(tiny_model(), None);
    let folder = resolve("org/tiny@v1", &options, &mut ()).unwrap();
    assert_eq!(names(&cache.path().join("models--org--tiny/refs")), ["v1"]);
    options.offline = true;
    assert_eq!(resolve("org/tiny@v1", &options, &mut ()).unwrap(), folder);
    assert_eq!(
        resolve(&format!("org/tiny@{COMMIT}"), &options, &mut ()).unwrap(),
        folder
    );
    assert!(matches!(
        resolve("org/tiny", &options, &mut ()),
        Err(HubError::Offline { .. })
    ));
}

#[test]
fn a_renamed_model_is_found_under_its_old_name() {
    let (_hub, cache, options) = setup(tiny_model(), None);
    let folder = resolve("old/name", &options, &mut ()).unwrap();
    assert_eq!(
        folder,
        cache
            .path()
            .join("models--old--name/snapshots")
            .join(COMMIT)
    );
    assert_eq!(fs::read(folder.join("tokenizer.json")).unwrap(), b"{}");
}

#[test]
fn a_cut_connection_leaves_no_half_file() {
    let (hub, cache, mut options) = setup(
        tiny_model(),
        Some(Fault::Cut("model.safetensors", usize::MAX)),
    );
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert!(
        matches!(&error, HubError::Download { item, .. } if item == "model.safetensors"),
        "{error}"
    );
    assert!(!names(&snapshot(cache.path())).contains(&"model.safetensors".to_owned()));

    options.offline = true;
    assert!(matches!(
        resolve(MODEL, &options, &mut ()),
        Err(HubError::Offline { .. })
    ));

    hub.repair();
    options.offline = false;
    let folder = resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        tiny_model()["model.safetensors"]
    );
}

#[test]
fn a_connection_that_is_cut_once_is_opened_again() {
    let (hub, _cache, options) = setup(tiny_model(), Some(Fault::Cut("model.safetensors", 1)));
    let mut bar = Recorder::default();
    let folder = resolve(MODEL, &options, &mut bar).unwrap();
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        tiny_model()["model.safetensors"]
    );
    assert_eq!(
        hub.fetched()
            .iter()
            .filter(|file| *file == "model.safetensors")
            .count(),
        2
    );
    assert!(
        bar.0.iter().all(|line| line.arrived == line.bytes),
        "{bar:?}"
    );
}

#[test]
fn an_error_page_is_not_taken_for_a_file() {
    let (_hub, cache, options) = setup(tiny_model(), Some(Fault::ErrorPage("model.safetensors")));
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert!(
        matches!(error, HubError::Damaged { found: 20, .. }),
        "{error}"
    );
    assert!(!names(&snapshot(cache.path())).contains(&"model.safetensors".to_owned()));
}

#[test]
fn two_downloads_at_once_agree() {
    let (_hub, _cache, options) = setup(tiny_model(), None);
    let folders = thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| resolve(MODEL, &options, &mut ()).unwrap()));
        both.map(|worker| worker.join().unwrap())
    });
    assert_eq!(folders[0], folders[1]);
    assert_eq!(
        fs::read(folders[0].join("model.safetensors")).unwrap(),
        tiny_model()["model.safetensors"]
    );
}

#[test]
fn progress_counts_every_byte_of_every_file() {
    let (_hub, _cache, options) = setup(tiny_model(), None);
    let mut bar = Recorder::default();
    resolve(MODEL, &options, &mut bar).unwrap();
    assert_eq!(bar.0.len(), 4);
    for line in bar.0 {
        assert_eq!(line.bytes, tiny_model()[&line.file].len() as u64);
        assert!(line.arrived == line.bytes && line.is_finished, "{line:?}");
    }
}
