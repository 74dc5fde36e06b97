//! Why an adapter cannot be read, and what to do about it.

use std::path::PathBuf;

use crate::load_error::{LoadError, quoted};

/// Why an adapter cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A file cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is of another kind than LoRA.
    #[error("`{path}` is an adapter of type `{found}`, not `LORA`", path = .path.display())]
    Kind {
        /// Its configuration.
        path: PathBuf,
        /// Its type.
        found: String,
    },
    /// It uses what is not understood; without that it would answer wrongly.
    #[error("`{path}` uses what is not supported: {}", quoted(.features), path = .path.display())]
    Unsupported {
        /// Its configuration.
        path: PathBuf,
        /// The fields, with their values.
        features: Vec<String>,
    },
    /// A field is missing, or has a value of another type.
    #[error("`{path}` has no usable `{field}`", path = .path.display())]
    Field {
        /// Its configuration.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// Its weights are a pickle.
    #[error("`{folder}` has only `adapter_model.bin`, and only safetensors are read", folder = .folder.display())]
    OldWeights {
        /// The adapter's folder.
        folder: PathBuf,
    },
    /// It has no weights.
    #[error("no `adapter_model.safetensors` in `{folder}`", folder = .folder.display())]
    NoWeights {
        /// The adapter's folder.
        folder: PathBuf,
    },
}

impl AdapterError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Load(error) => return error.hint(),
            Self::Kind { .. } | Self::Unsupported { .. } => {
                "merge it with peft: `model.merge_and_unload().save_pretrained(folder)`"
            }
            Self::Field { .. } => "copy or download it again, or save it again with peft",
            Self::OldWeights { .. } => {
                "load it with peft and save it again: `model.save_pretrained(folder)`"
            }
            Self::NoWeights { .. } => {
                "an adapter folder holds `adapter_config.json` and `adapter_model.safetensors`"
            }
        };
        Some(hint.to_owned())
    }
}
