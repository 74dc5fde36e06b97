//! Why a checkpoint could not be read, and what to do about it.

use std::io;
use std::path::PathBuf;

use safetensors::Dtype;

/// Hint where the folder is not what was expected.
pub(crate) const MODEL_FOLDER: &str =
    "a model folder holds `config.json`, `model.safetensors` and `tokenizer.json`";
/// Hint where the weights are there in another format.
pub(crate) const CONVERT_WEIGHTS: &str =
    "convert it with transformers: `model.save_pretrained(folder, safe_serialization=True)`";

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read `{path}`", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A JSON file, or the header of a safetensors file, does not hold what it should.
    #[error("cannot parse `{path}`", path = .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The folder has no weights.
    #[error("no `model.safetensors` in `{folder}`", folder = .folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder has weights, but none that can be read.
    #[error("`{folder}` has only `{file}`, and only safetensors are read", folder = .folder.display())]
    OnlyOtherWeights {
        /// The folder.
        folder: PathBuf,
        /// The weights that it has.
        file: String,
    },
    /// The index names files that are not there.
    #[error("`{folder}` lacks {files}", folder = .folder.display(), files = quoted(.files))]
    MissingShards {
        /// The folder.
        folder: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// The index names a file outside of its folder.
    #[error("`{index}` names `{shard}`, which is not a plain file name", index = .index.display())]
    ShardName {
        /// The index.
        index: PathBuf,
        /// The name.
        shard: String,
    },
    /// A shard lacks tensors that the index places in it.
    #[error("`{path}` lacks {tensors}, which the index places there", path = .path.display(), tensors = quoted(.tensors))]
    ShardLacks {
        /// The shard.
        path: PathBuf,
        /// The tensors.
        tensors: Vec<String>,
    },
    /// The file is a pointer of Git LFS instead of the weights.
    #[error("`{path}` is a Git LFS pointer, not the weights", path = .path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The file does not begin as a safetensors file does.
    #[error("`{path}` is not a safetensors file", path = .path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
    },
    /// The file's size is not what its header says: truncated, or damaged otherwise.
    #[error("`{path}` is damaged: {found} bytes instead of {expected}", path = .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// The size that its header calls for.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// The checkpoint has no tensor of this name.
    #[error("no tensor `{name}` in `{path}`", path = .path.display())]
    NoTensor {
        /// The tensor.
        name: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// The tensor is of a type that is not read as numbers.
    #[error("tensor `{name}` in `{path}` is of type `{dtype}`, not `F32`, `F16`, `BF16` or `F64`", path = .path.display())]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
        /// The file.
        path: PathBuf,
    },
}

impl LoadError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => MODEL_FOLDER,
            Self::Read { .. } | Self::NoTensor { .. } => return None,
            Self::NoWeights { .. } => MODEL_FOLDER,
            Self::OnlyOtherWeights { .. } => CONVERT_WEIGHTS,
            Self::LfsPointer { .. } => "run `git lfs pull` in that folder",
            Self::Dtype { .. } => {
                "convert the checkpoint to a float type; quantized weights are not read"
            }
            Self::Json { .. }
            | Self::MissingShards { .. }
            | Self::ShardName { .. }
            | Self::ShardLacks { .. }
            | Self::NotSafetensors { .. }
            | Self::Size { .. } => {
                "incomplete or damaged: delete it, then copy or download it again"
            }
        };
        Some(hint.to_owned())
    }
}

pub(crate) fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
