//! The hub crate against an imitated Hub, cache folders and checkpoint files.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod adapter;
mod cache;
mod checkpoint;
mod download;
mod hostile;
mod network;
mod recorder;
mod refusal;
mod save;
mod server;
mod store;
mod transfer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle_hub::{HubOptions, TransferOptions};
use tempfile::{TempDir, tempdir};

use crate::server::{COMMIT, FakeHub, Fault};

/// File name to content.
type Files = BTreeMap<String, Vec<u8>>;

fn files(contents: &[(&str, &[u8])]) -> Files {
    contents
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
        .collect()
}

/// The files of a small model, and two that nobody should fetch.
fn tiny_model() -> Files {
    files(&[
        ("config.json", br#"{"model_type": "bert"}"#),
        ("model.safetensors", &weights(&["a", "b"])),
        ("pytorch_model.bin", b"pickle"),
        ("README.md", b"# Tiny"),
        ("tokenizer.json", b"{}"),
        ("tokenizer_config.json", b"{\"do_lower_case\": true}"),
    ])
}

/// The same with its weights in two shards.
fn sharded_model() -> Files {
    let mut files = tiny_model();
    files.remove("model.safetensors");
    let first = "model-00001-of-00002.safetensors";
    let second = "model-00002-of-00002.safetensors";
    let index =
        format!(r#"{{"metadata": {{}}, "weight_map": {{"a": "{first}", "b": "{second}"}}}}"#);
    files.insert(
        "model.safetensors.index.json".to_owned(),
        index.into_bytes(),
    );
    files.insert(first.to_owned(), weights(&["a"]));
    files.insert(second.to_owned(), weights(&["b"]));
    files
}

/// A safetensors file with a tensor of 1,000 values under each name.
fn weights(names: &[&str]) -> Vec<u8> {
    let bytes: Vec<u8> = (0..1000)
        .flat_map(|value| (value as f32).to_le_bytes())
        .collect();
    let view = || {
        safetensors::tensor::TensorView::new(rekindle_hub::Dtype::F32, vec![10, 100], &bytes)
            .unwrap()
    };
    safetensors::serialize(names.iter().map(|name| (*name, view())), None).unwrap()
}

fn options(cache: &Path, endpoint: &str) -> HubOptions {
    HubOptions {
        cache: cache.to_owned(),
        endpoint: endpoint.to_owned(),
        offline: false,
        token: None,
        transfer: TransferOptions {
            retry_pause: Duration::from_millis(20),
            ..TransferOptions::default()
        },
    }
}

fn setup(files: Files, fault: Option<Fault>) -> (FakeHub, TempDir, HubOptions) {
    cached(FakeHub::start(files, fault))
}

/// An empty cache for a Hub.
fn cached(hub: FakeHub) -> (FakeHub, TempDir, HubOptions) {
    let cache = tempdir().unwrap();
    let options = options(cache.path(), &hub.endpoint);
    (hub, cache, options)
}

fn snapshot(cache: &Path) -> PathBuf {
    cache.join("models--org--tiny/snapshots").join(COMMIT)
}

fn blobs(cache: &Path) -> PathBuf {
    cache.join("models--org--tiny/blobs")
}

fn write_all(folder: &Path, files: &Files) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
