//! Lets a language model write: sampling, stopping, streaming.
//!
//! An [`Engine`] reads a batch of prompts, padded on the left, and then writes one token of each row at a
//! time, with the keys and values of earlier tokens kept. A row's answer depends on its prompt, the seed and
//! its number alone, not on the rows beside it.

mod batch;
mod engine;
mod error;
mod row;
mod sampling;
mod stop;

pub use engine::{Answer, End, Engine, Options, Piece, Prompt, Watch};
pub use error::GenerateError;
pub use sampling::{Candidate, Sampling};
