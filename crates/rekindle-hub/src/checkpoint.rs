//! Reads a model folder in the layout of transformers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Map, Value};

use crate::index::{ShardIndex, WEIGHTS, Weights, weights};
use crate::load_error::LoadError;
use crate::tensor_file::TensorFile;

/// The weights of a model folder, in one file or in shards.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<TensorFile>,
    /// Tensor name to position in `files`.
    places: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or every shard that `model.safetensors.index.json` names.
    pub fn open(folder: &Path) -> Result<Self, LoadError> {
        match weights(|file| folder.join(file).exists()) {
            Weights::Single => {
                let file = TensorFile::open(&folder.join(WEIGHTS))?;
                let places = file.names().map(|name| (name.to_owned(), 0)).collect();
                Ok(Self {
                    folder: folder.to_owned(),
                    files: vec![file],
                    places,
                })
            }
            Weights::Sharded => Self::open_shards(folder, &ShardIndex::read(folder)?),
            Weights::Unread(Some(file)) => Err(LoadError::OnlyOtherWeights {
                folder: folder.to_owned(),
                file: file.to_owned(),
            }),
            Weights::Unread(None) => Err(LoadError::NoWeights {
                folder: folder.to_owned(),
            }),
        }
    }

    fn open_shards(folder: &Path, index: &ShardIndex) -> Result<Self, LoadError> {
        let shards = index.shards();
        let missing = shards.iter().filter(|shard| !folder.join(shard).exists());
        let missing: Vec<String> = missing.map(|shard| (*shard).to_owned()).collect();
        if !missing.is_empty() {
            return Err(LoadError::MissingShards {
                folder: folder.to_owned(),
                files: missing,
            });
        }
        let mut checkpoint = Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            places: BTreeMap::new(),
        };
        for (place, shard) in shards.into_iter().enumerate() {
            let path = folder.join(shard);
            let file = TensorFile::open(&path)?;
            let names = || {
                index
                    .weight_map
                    .iter()
                    .filter(|(_, file)| *file == shard)
                    .map(|(name, _)| name)
            };
            let absent: Vec<String> = names()
                .filter(|name| file.shape(name).is_none())
                .cloned()
                .collect();
            if !absent.is_empty() {
                return Err(LoadError::ShardLacks {
                    path,
                    tensors: absent,
                });
            }
            checkpoint
                .places
                .extend(names().map(|name| (name.clone(), place)));
            checkpoint.files.push(file);
        }
        Ok(checkpoint)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file(name)?.shape(name)
    }

    /// The type of a tensor's elements in its file, if there is one of that name.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.file(name)?.dtype(name)
    }

    /// Reads a tensor of any float type as `f32`, in row-major order.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        match self.file(name) {
            Some(file) => file.read_f32(name),
            None => Err(LoadError::NoTensor {
                name: name.to_owned(),
                path: self.folder.clone(),
            }),
        }
    }

    fn file(&self, name: &str) -> Option<&TensorFile> {
        self.places.get(name).map(|place| &self.files[*place])
    }
}

/// Reads the `config.json` of a model folder.
pub fn read_config(folder: &Path) -> Result<Map<String, Value>, LoadError> {
    let path = folder.join("config.json");
    let bytes = fs::read(&path).map_err(|source| LoadError::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| LoadError::Json { path, source })
}
