//! GPT-2: a pre-norm decoder with learned positions, whose linear layers are stored as they are applied.

mod config;
mod model;
mod weights;

pub use config::{ConfigError, Gpt2Config};
pub use model::{Gpt2, Gpt2Lm};
pub use weights::Gpt2Names;
