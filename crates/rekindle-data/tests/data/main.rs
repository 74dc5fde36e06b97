//! Reading, tokenizing and rendering of rows, against transformers and by hand.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod chat;
mod masking;
mod records;
mod rendering;
mod tasks;
mod tokenizer;
mod vocabulary;
