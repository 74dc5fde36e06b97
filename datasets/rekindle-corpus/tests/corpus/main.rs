//! Raw text: files, documents, tokens on disk, and rows.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod cache;
mod reading;
mod rows;
#[path = "../setup/mod.rs"]
mod setup;
