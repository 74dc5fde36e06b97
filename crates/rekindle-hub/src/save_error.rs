//! Why a model could not be saved, and what to do about it.

use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;

use crate::stored_type::StoredType;

/// Why a model could not be saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A file or folder could not be written.
    #[error("cannot write `{path}`", path = .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A tokenizer file could not be read.
    #[error("cannot read `{path}`", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The target holds something that is not a model, and is not replaced.
    #[error("`{folder}` is not empty and holds no model", folder = .folder.display())]
    Occupied {
        /// The target.
        folder: PathBuf,
    },
    /// Two tensors have one name.
    #[error("two tensors are named `{name}`")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// A tensor's values do not fill its shape.
    #[error("tensor `{name}` of shape {shape:?} has {found} values")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of its values.
        found: usize,
    },
    /// A value is too large for the type that it is to be stored in.
    #[error("tensor `{name}` has values that {stored} cannot hold")]
    Overflow {
        /// The tensor.
        name: String,
        /// The type.
        stored: StoredType,
    },
    /// The tensors cannot be described in a safetensors header.
    #[error("cannot describe the tensors of `{path}`", path = .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: SafeTensorError,
    },
}

impl SaveError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Write { .. } => "check the permissions and the space left on the disk",
            Self::Occupied { .. } => "choose another output folder, or empty it",
            Self::Overflow { .. } => "store it in bf16, whose range is that of f32",
            Self::Read { .. }
            | Self::DuplicateTensor { .. }
            | Self::Shape { .. }
            | Self::Header { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}
