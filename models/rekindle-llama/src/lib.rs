//! Llama, Mistral, Qwen2, Qwen3 and SmolLM: one pre-norm decoder, its variants told apart by its configuration.
//!
//! They differ in biases, in the window of their attention, in norms of queries and keys, and in whether the
//! output layer is the embedding's transpose; `config.rs` reads which.

mod config;
mod model;
mod rope;
mod weights;

pub use config::{ConfigError, LlamaConfig};
pub use model::{Llama, LlamaLm};
pub use weights::LlamaNames;
