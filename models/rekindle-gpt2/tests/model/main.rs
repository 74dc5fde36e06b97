//! GPT-2 against transformers, peft and the laws of every model.

mod adapters;
mod laws;
mod parity;
