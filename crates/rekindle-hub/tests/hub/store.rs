//! The cache on disk, which `huggingface_hub` shares: blobs, links, locks and references.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use rekindle_hub::resolve;

use crate::server::{FakeHub, MODEL, hash};
use crate::{blobs, cached, names, setup, snapshot, tiny_model};

const WEIGHTS: &str = "model.safetensors";

fn contents(hub: &FakeHub, file: &str) -> usize {
    hub.fetched()
        .iter()
        .filter(|fetched| *fetched == file)
        .count()
}

#[cfg(unix)]
#[test]
fn snapshots_link_to_blobs_named_by_their_hash() {
    let (_hub, cache, options) = setup(tiny_model(), None);
    let folder = resolve(MODEL, &options, &mut ()).unwrap();
    let mut expected = Vec::new();
    for name in names(&folder) {
        let hash = hash(&name, &tiny_model()[&name]);
        let target = fs::read_link(folder.join(&name)).unwrap();
        assert_eq!(target, std::path::Path::new("../../blobs").join(&hash));
        expected.push(hash);
    }
    expected.sort();
    assert_eq!(names(&blobs(cache.path())), expected);
    let locks: Vec<String> = expected.iter().map(|hash| format!("{hash}.lock")).collect();
    assert_eq!(names(&cache.path().join(".locks/models--org--tiny")), locks);
    assert_eq!(
        names(&cache.path().join("models--org--tiny/refs")),
        ["main"]
    );
}

#[cfg(unix)]
#[test]
fn links_that_lead_elsewhere_are_replaced() {
    use std::os::unix::fs::symlink;
    let (_hub, cache, options) = setup(tiny_model(), None);
    let folder = snapshot(cache.path());
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(blobs(cache.path())).unwrap();
    fs::create_dir_all(cache.path().join("models--org--tiny/refs")).unwrap();
    let victim = cache.path().join("victim");
    let precious = vec![b'p'; tiny_model()[WEIGHTS].len()];
    fs::write(&victim, &precious).unwrap();
    // A file of the right size elsewhere, and names that would write through a link.
    let name = hash(WEIGHTS, &tiny_model()[WEIGHTS]);
    symlink(&victim, folder.join(WEIGHTS)).unwrap();
    symlink(
        &victim,
        blobs(cache.path()).join(format!("{name}.incomplete")),
    )
    .unwrap();
    symlink(
        cache.path().join("dangling"),
        blobs(cache.path()).join(&name),
    )
    .unwrap();
    symlink(&victim, cache.path().join("models--org--tiny/refs/main")).unwrap();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(
        fs::read(folder.join(WEIGHTS)).unwrap(),
        tiny_model()[WEIGHTS]
    );
    assert!(fs::read(&victim).unwrap() == precious);
    assert!(!cache.path().join("dangling").exists());
    assert!(
        fs::symlink_metadata(blobs(cache.path()).join(&name))
            .unwrap()
            .is_file()
    );
}

#[test]
fn without_links_snapshots_hold_the_files_themselves() {
    let (hub, cache, mut options) = setup(tiny_model(), None);
    options.transfer.symlinks = false;
    let folder = resolve(MODEL, &options, &mut ()).unwrap();
    for name in names(&folder) {
        assert!(fs::symlink_metadata(folder.join(&name)).unwrap().is_file());
        assert_eq!(fs::read(folder.join(&name)).unwrap(), tiny_model()[&name]);
    }
    assert_eq!(names(&blobs(cache.path())), Vec::<String>::new());

    // A blob that is there may belong to another snapshot, and is copied.
    let bytes = &tiny_model()["config.json"];
    let blob = blobs(cache.path()).join(hash("config.json", bytes));
    fs::rename(folder.join("config.json"), &blob).unwrap();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(&fs::read(folder.join("config.json")).unwrap(), bytes);
    assert!(blob.is_file());
    assert_eq!(contents(&hub, "config.json"), 1);
}

#[test]
fn a_blob_that_is_there_is_only_linked() {
    let (hub, cache, options) = setup(tiny_model(), None);
    resolve(MODEL, &options, &mut ()).unwrap();
    fs::remove_dir_all(cache.path().join("models--org--tiny/snapshots")).unwrap();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(hub.fetched().len(), 4);
}

#[test]
fn a_blob_that_another_program_downloads_is_waited_for() {
    let (hub, cache, options) = setup(tiny_model(), None);
    let name = hash(WEIGHTS, &tiny_model()[WEIGHTS]);
    let locks = cache.path().join(".locks/models--org--tiny");
    fs::create_dir_all(&locks).unwrap();
    let lock = File::create(locks.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| resolve(MODEL, &options, &mut ()).unwrap());
        while !snapshot(cache.path()).join("tokenizer.json").exists() {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(200));
        assert!(!other.is_finished());
        fs::write(blobs(cache.path()).join(&name), &tiny_model()[WEIGHTS]).unwrap();
        lock.unlock().unwrap();
        other.join().unwrap();
    });
    assert_eq!(contents(&hub, WEIGHTS), 0);
}

#[test]
fn two_downloads_at_once_fetch_each_blob_once() {
    let hub = FakeHub::hooked(tiny_model(), |request, response| {
        if request.method == "GET" {
            thread::sleep(Duration::from_millis(50));
        }
        response
    });
    let (hub, _cache, options) = cached(hub);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| resolve(MODEL, &options, &mut ()).unwrap());
        }
    });
    for name in ["config.json", "tokenizer.json", WEIGHTS] {
        assert_eq!(contents(&hub, name), 1, "{name}");
    }
}
