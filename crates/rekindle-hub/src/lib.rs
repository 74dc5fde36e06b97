//! From a model id to a local folder, and Hugging Face checkpoints in and out.
//!
//! [`resolve`] turns what a user typed (a folder, or `org/name[@revision]`) into a local folder: the folder
//! itself, a snapshot in the Hub's own cache, or a download into that cache. [`Checkpoint`] and [`read_config`]
//! read such a folder, and [`save_model`] writes one that `transformers` loads unchanged.

mod adapter;
mod blob;
mod cache;
mod checkpoint;
mod download;
mod fetch;
mod hub_error;
mod index;
mod load_error;
mod lock;
mod options;
mod ranges;
mod reference;
mod remote;
mod resolve;
mod save;
mod save_error;
mod stored_type;
mod tensor_file;
mod transfer_error;

pub use adapter::{
    Adapter, AdapterConfig, AdapterError, AdapterTargets, is_adapter, read_adapted_config,
    save_adapter,
};
pub use checkpoint::{Checkpoint, read_config};
pub use hub_error::{CacheGap, HubError};
pub use load_error::LoadError;
pub use options::{HubOptions, ProxyOptions, TransferOptions};
pub use reference::ModelReference;
pub use resolve::{Progress, resolve};
pub use safetensors::Dtype;
pub use save::{Companions, NamedTensor, companion_files, save_model, sweep_model, write_tensors};
pub use save_error::SaveError;
pub use stored_type::StoredType;
pub use tensor_file::TensorFile;
pub use transfer_error::{Refusal, TransferError};
