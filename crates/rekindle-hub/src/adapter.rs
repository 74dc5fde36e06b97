//! Low-rank adapters as peft keeps them: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod error;

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::read_config;
use crate::load_error::LoadError;
use crate::save::{Companions, NamedTensor, save_folder, write_json, write_weights};
use crate::save_error::SaveError;
use crate::tensor_file::TensorFile;

pub use config::{AdapterConfig, AdapterTargets};
pub use error::AdapterError;

/// What peft calls an adapter.
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const OLD_WEIGHTS: &str = "adapter_model.bin";

/// What the names of its tensors begin with: the attributes of peft's wrappers around a model.
const PREFIX: &str = "base_model.model.";

/// What stands in the names of the base's own tensors.
const COPY: &str = ".base_layer.";

/// Whether a folder holds an adapter in place of a model.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// An adapter on disk: what it is, and its tensors.
#[derive(Debug)]
pub struct Adapter {
    /// Its configuration.
    pub config: AdapterConfig,
    file: TensorFile,
}

impl Adapter {
    /// Reads an adapter folder, without the values of its tensors.
    pub fn open(folder: &Path) -> Result<Self, AdapterError> {
        let config = AdapterConfig::read(&folder.join(CONFIG))?;
        let path = folder.join(WEIGHTS);
        if !path.exists() {
            let is_old = folder.join(OLD_WEIGHTS).exists();
            let folder = folder.to_owned();
            return Err(if is_old {
                AdapterError::OldWeights { folder }
            } else {
                AdapterError::NoWeights { folder }
            });
        }
        let file = TensorFile::open(&path)?;
        Ok(Self { config, file })
    }

    /// The tensors' names, as the model calls them, and shapes; without copies of the base's.
    pub fn shapes(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let names = self.file.names().filter(|name| !name.contains(COPY));
        names.map(|name| {
            let shape = self.file.shape(name).unwrap_or_default();
            (own(name).to_owned(), shape.to_vec())
        })
    }

    /// Copies of tensors of the base, each with the name that the base gives it: peft stores the weight of
    /// an output layer beside an adapter on it.
    pub fn copies(&self) -> impl Iterator<Item = (String, String)> {
        let names = self.file.names().filter(|name| name.contains(COPY));
        names.map(|name| (own(name).to_owned(), own(name).replace(COPY, ".")))
    }

    /// Reads a tensor by the name that the model gives it.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let prefixed = format!("{PREFIX}{name}");
        match self.file.shape(&prefixed) {
            Some(_) => self.file.read_f32(&prefixed),
            None => self.file.read_f32(name),
        }
    }
}

/// The name that the model gives a tensor.
fn own(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The `config.json` beside an adapter, if it has one: peft writes none.
pub fn read_adapted_config(folder: &Path) -> Result<Option<Map<String, Value>>, LoadError> {
    let exists = folder.join("config.json").exists();
    exists.then(|| read_config(folder)).transpose()
}

/// Writes an adapter that peft loads, with the `config.json` of the adapted model and the companion files
/// of another folder; whole or not at all.
pub fn save_adapter<'a>(
    folder: &Path,
    adapter: &AdapterConfig,
    config: &Map<String, Value>,
    tensors: Vec<NamedTensor<'_>>,
    companions: impl Into<Companions<'a>>,
) -> Result<(), SaveError> {
    let prefixed = tensors.into_iter().map(|tensor| tensor.prefixed(PREFIX));
    let prefixed = prefixed.collect();
    save_folder(folder, &companions.into(), |staged| {
        write_json(&staged.join(CONFIG), &adapter.to_json())?;
        write_json(&staged.join("config.json"), config)?;
        write_weights(&staged.join(WEIGHTS), prefixed)
    })
}
