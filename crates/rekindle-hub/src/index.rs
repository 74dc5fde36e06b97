//! Which weights a folder has, and the index that says which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use serde::Deserialize;

use crate::load_error::LoadError;

/// Weights in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// Index of weights in several files.
pub(crate) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// Weights of other formats, looked for only to say that they are not read.
const OTHER_WEIGHTS: [&str; 5] = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.ckpt.index",
];

/// The weights that a list of files has.
pub(crate) enum Weights {
    Single,
    Sharded,
    /// None that are read; the name of others, where there are some.
    Unread(Option<&'static str>),
}

/// Chooses among the weights present as transformers does: a single file before shards.
pub(crate) fn weights(has: impl Fn(&str) -> bool) -> Weights {
    if has(WEIGHTS) {
        Weights::Single
    } else if has(WEIGHTS_INDEX) {
        Weights::Sharded
    } else {
        Weights::Unread(OTHER_WEIGHTS.into_iter().find(|file| has(file)))
    }
}

/// The shards' index: tensor name to file name.
#[derive(Deserialize)]
pub(crate) struct ShardIndex {
    pub(crate) weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    pub(crate) fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join(WEIGHTS_INDEX);
        let bytes = fs::read(&path).map_err(|source| LoadError::Read {
            path: path.clone(),
            source,
        })?;
        let index: Self = serde_json::from_slice(&bytes).map_err(|source| LoadError::Json {
            path: path.clone(),
            source,
        })?;
        match index.weight_map.values().find(|shard| !is_plain(shard)) {
            Some(shard) => Err(LoadError::ShardName {
                index: path,
                shard: shard.clone(),
            }),
            None => Ok(index),
        }
    }

    /// The file names, each once.
    pub(crate) fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// True for a name that does not lead out of its folder, and that can be shown.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(_)))
        && parts.next().is_none()
        && !name.contains(|c: char| c == '\\' || c.is_control())
}
