//! Tokens on disk: found again, made again where they are damaged, and safe between processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::setup::{self, Texts, documents, encoder};
use rekindle_corpus::{Corpus, CorpusError, Documents, Progress};

const TEXT: &[u8] = b"A room, quietly.\nthe film\n";

/// The folders of tokens and whatever else is in the cache.
fn entries(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache.join("tokens")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension() != Some("lock".as_ref()))
        .collect();
    names.sort();
    names
}

#[test]
fn names_and_times_do_not_change_the_key() {
    let texts = Texts::new(&[("a.txt", TEXT)]);
    let first = texts.open(&["a.txt"], Documents::Auto).unwrap();
    assert!(!first.is_cached());
    assert!(first.folder().ends_with(first.key()));
    let (path, sha256) = first.files().next().unwrap();
    assert_eq!((path, sha256.len()), (&*texts.path("a.txt"), 64));
    fs::rename(texts.path("a.txt"), texts.path("b.txt")).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(texts.path("b.txt"))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(9999))
        .unwrap();
    let second = texts.open(&["b.txt"], Documents::Auto).unwrap();
    assert!(second.is_cached());
    assert_eq!(second.key(), first.key());
    assert_eq!(documents(&second), documents(&first));
    assert!(second.describe()[0].contains("b.txt: "));
    // What was found is the same as what was asked for.
    let third = texts.open(&["b.txt"], Documents::Line).unwrap();
    assert!(third.is_cached());
    assert_eq!(entries(&texts.cache()), [first.key()]);
}

#[test]
fn tokenizer_settings_content_and_order_change_the_key() {
    let texts = Texts::new(&[
        ("a.txt", TEXT),
        ("b.txt", b"other"),
        ("a.jsonl", b"{\"text\": \"b\"}"),
    ]);
    let key = |names: &[&str], documents, tokenizer: &str| {
        let store = texts
            .open_with(names, documents, &encoder(tokenizer))
            .unwrap();
        assert!(!store.is_cached());
        store.key().to_owned()
    };
    let decoder = |config| texts.open_decoder("a.txt", config).key().to_owned();
    let mut keys = vec![
        key(&["a.txt"], Documents::Auto, "wordpiece"),
        key(&["a.txt"], Documents::Auto, "byte-level"),
        key(&["a.txt"], Documents::Paragraph, "wordpiece"),
        key(&["a.txt"], Documents::File, "wordpiece"),
        key(&["a.txt", "b.txt"], Documents::Auto, "wordpiece"),
        key(&["b.txt", "a.txt"], Documents::Auto, "wordpiece"),
        key(&["b.txt"], Documents::Auto, "wordpiece"),
        decoder(setup::PLAIN),
        decoder("{\"eos_token\": \"</s>\", \"mask_token\": \"content\"}"),
    ];
    texts.write("a.txt", b"A room, quietly.\nthe films\n");
    keys.push(key(&["a.txt"], Documents::Auto, "wordpiece"));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 10);
    assert_eq!(entries(&texts.cache()), keys);
    // What stands between documents is put there when rows are made.
    assert_eq!(decoder(setup::PLAIN), decoder(setup::WITH_BOS));
}

/// What can happen to a folder.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_or_foreign_folder_is_made_again() {
    let damages: [Damage; 9] = [
        ("a flipped bit of a token", |folder| {
            flip(&folder.join("tokens.bin"));
        }),
        ("a flipped bit of an end", |folder| {
            flip(&folder.join("documents.bin"));
        }),
        ("tokens cut short", |folder| cut(&folder.join("tokens.bin"))),
        ("no ends", |folder| {
            fs::remove_file(folder.join("documents.bin")).unwrap();
        }),
        ("no manifest", |folder| {
            fs::remove_file(folder.join("manifest.json")).unwrap();
        }),
        ("half a manifest", |folder| {
            cut(&folder.join("manifest.json"));
        }),
        ("another version", |folder| {
            replace(folder, "\"version\": 1", "\"version\": 2");
        }),
        ("another key", |folder| {
            replace(folder, "\"key\": \"", "\"key\": \"0");
        }),
        ("a file in its place", |folder| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "x").unwrap();
        }),
    ];
    let texts = Texts::new(&[("a.txt", TEXT)]);
    let first = texts.open(&["a.txt"], Documents::Auto).unwrap();
    let expected = documents(&first);
    for (what, damage) in damages {
        damage(first.folder());
        let again = texts.open(&["a.txt"], Documents::Auto).unwrap();
        assert!(!again.is_cached(), "{what}");
        assert_eq!(documents(&again), expected, "{what}");
        assert!(texts.open(&["a.txt"], Documents::Auto).unwrap().is_cached());
        assert_eq!(entries(&texts.cache()), [first.key()], "{what}");
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn replace(folder: &Path, from: &str, to: &str) {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn what_a_killed_process_left_is_cleaned_up() {
    let texts = Texts::new(&[("a.txt", TEXT)]);
    let store = texts.open(&["a.txt"], Documents::Auto).unwrap();
    let tokens = texts.cache().join("tokens");
    fs::rename(
        store.folder(),
        tokens.join(format!(".{}.4000000.partial", store.key())),
    )
    .unwrap();
    assert!(!texts.open(&["a.txt"], Documents::Auto).unwrap().is_cached());
    assert_eq!(entries(&texts.cache()), [store.key()]);
}

#[test]
fn a_failure_leaves_nothing() {
    let text = "film\n\u{fdd0}\n";
    let texts = Texts::new(&[("a.txt", text.as_bytes())]);
    let (tokenizer, renderer) = setup::decoder(setup::PLAIN);
    let corpus = Corpus {
        paths: &[texts.path("a.txt")],
        documents: Documents::Auto,
        tokenizer: &tokenizer,
        renderer: Some(&renderer),
    };
    corpus.open(&texts.cache(), &mut ()).unwrap_err();
    assert_eq!(entries(&texts.cache()), [""; 0]);
}

/// Does something when tokenizing begins.
struct AtStart<F: FnMut()>(F, Vec<u64>);

impl<F: FnMut()> Progress for AtStart<F> {
    fn start(&mut self, bytes: u64) {
        self.1.push(bytes);
        (self.0)();
    }
    fn advance(&mut self, bytes: u64) {
        self.1.push(bytes);
    }
    fn finish(&mut self) {}
}

fn open(path: PathBuf, cache: &Path, progress: &mut dyn Progress) -> Result<bool, CorpusError> {
    let tokenizer = encoder("wordpiece");
    let corpus = Corpus {
        paths: &[path],
        documents: Documents::Auto,
        tokenizer: &tokenizer,
        renderer: None,
    };
    corpus.open(cache, progress).map(|store| store.is_cached())
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let texts = Texts::new(&[("a.txt", TEXT)]);
    let mut change = AtStart(
        || texts.write("a.txt", b"A room, quietly.\nthe farm\n"),
        Vec::new(),
    );
    let error = open(texts.path("a.txt"), &texts.cache(), &mut change).unwrap_err();
    assert!(matches!(error, CorpusError::Changed { .. }), "{error}");
    assert_eq!(entries(&texts.cache()), [""; 0]);
}

#[test]
fn progress_adds_up_to_the_bytes_of_the_files() {
    let texts = Texts::new(&[("a.txt", TEXT), ("b.txt", b"one\r\n\r\ntwo")]);
    let mut progress = AtStart(|| {}, Vec::new());
    open(texts.path("."), &texts.cache(), &mut progress).unwrap();
    let bytes = (TEXT.len() + 10) as u64;
    assert_eq!(progress.1[0], bytes);
    assert_eq!(progress.1[1..].iter().sum::<u64>(), bytes);
}

#[test]
fn one_writes_and_the_others_find_it() {
    let texts = Texts::new(&[("a.txt", &TEXT.repeat(5000))]);
    let path = texts.path("a.txt");
    let cached: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| open(path.clone(), &texts.cache(), &mut ()).unwrap()))
            .collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(cached.iter().filter(|is_cached| !**is_cached).count(), 1);
    assert_eq!(entries(&texts.cache()).len(), 1);
}
