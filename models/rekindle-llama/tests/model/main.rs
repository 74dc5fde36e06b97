//! The Llama family against transformers, peft and the laws of every model.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod adapters;
mod laws;
mod parity;
mod stories;
mod weights;
