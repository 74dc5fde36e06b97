//! The engine: its settings against transformers, and with models whose answers are known.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod ascii;
mod decoders;
mod engine;
mod sampling;
