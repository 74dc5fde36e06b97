//! Fixtures, tolerances and the laws that every model obeys, for tests.
//!
//! A fixture folder is what a model's `tests/reference.py` writes: a Hugging Face folder with random
//! weights, `inputs.json`, and the numbers that transformers computes from them.

mod adapted;
mod backends;
mod close;
pub mod decoder;
mod fixture;
mod held;
mod ladder;
pub mod laws;
mod masked;
mod names;
mod subject;

pub use adapted::adapter_equals_peft;
pub use backends::{FLEX, OTHERS};
pub use close::{assert_close, assert_gradient_close, largest};
pub use fixture::Fixture;
pub use held::Held;
pub use ladder::{Hidden, climb, follow_trajectory};
pub use masked::masked_logits_equal;
pub use names::OwnNames;
pub use subject::{Part, Subject};
