//! The BERT family against transformers, peft and the laws of every model.

mod adapters;
mod bundled;
mod first;
mod laws;
mod masked;
mod parity;
