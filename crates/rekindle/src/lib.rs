//! Fine-tunes pre-trained transformers on any backend: the library behind the `rekindle` command.
//!
//! [`train::prepare`] checks a recipe against its model and data and writes nothing; [`train::Prepared::run`]
//! trains. [`predict::Predictor`] answers with a fine-tuned model, [`generate::Generator`] writes with one, and
//! [`selftest`] proves a backend.

mod adapter;
pub mod architecture;
pub mod backend;
pub mod base;
pub mod bench;
pub mod bundled;
pub mod error;
pub mod export;
mod faithful;
mod general;
pub mod generate;
mod generation_config;
mod hashes;
pub mod predict;
pub mod rows;
mod samples;
pub mod scratch;
pub mod selftest;
mod steps;
pub mod texts;
pub mod tokenizer;
pub mod train;

pub use error::Error;
pub use rekindle_checkpoint as checkpoint;
pub use rekindle_dashboard as dashboard;
pub use rekindle_data as data;
pub use rekindle_hub as hub;
pub use rekindle_nn::set_kernels;
pub use rekindle_train::{events, recipe, scores};
