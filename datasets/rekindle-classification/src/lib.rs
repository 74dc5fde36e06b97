//! Labeled texts: classes, several classes, or a number.
//!
//! A row has `text`, or `text` and `text_pair`, and a target: `label` is a string or an integer (one
//! class), a list of them (any number of classes) or a number (regression; `score` if no number is in
//! `label`). The [`bundled`] reviews are a sample of it.

pub mod bundled;
mod row;

pub use row::{example, input, read};
