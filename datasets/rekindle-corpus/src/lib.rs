//! Raw text as rows of tokens: files of any size, tokenized once and kept on disk.
//!
//! A [`Corpus`] says which files are read and how; [`Corpus::open`] tokenizes their documents, or finds them
//! tokenized, and returns a [`TokenStore`]. [`TextRows`] are blocks or sentences over a store, made when they
//! are asked for. Neither the texts nor their tokens are ever in memory as a whole.
//!
//! ```no_run
//! use std::path::{Path, PathBuf};
//! use std::sync::Arc;
//!
//! use rekindle_corpus::{Corpus, Documents, HELD_OUT, TextRows};
//! use rekindle_data::TextTokenizer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokenizer = TextTokenizer::from_folder(Path::new("model"))?;
//! let corpus = Corpus {
//!     paths: &[PathBuf::from("texts/*.txt")],
//!     documents: Documents::Auto,
//!     tokenizer: &tokenizer,
//!     renderer: None,
//! };
//! let store = Arc::new(corpus.open(Path::new("cache"), &mut ())?);
//! for line in store.describe() {
//!     eprintln!("{line}");
//! }
//! let rows = TextRows::masked_blocks(&store, 128)?;
//! let [train, valid] = rows.hold_out(0.01, HELD_OUT, 42);
//! assert_eq!(train.ids(0)?.len(), train.length(0));
//! # let _ = valid;
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//!
//! `<cache>/tokens/<key>/` holds `tokens.bin` (the documents' tokens one after another without special ones, two
//! bytes each if the vocabulary allows it, else four, little-endian), `documents.bin` (where each document ends,
//! in tokens, eight bytes each) and `manifest.json`. The key is a SHA-256 over the version of this crate, all
//! that decides the tokens of a text, and the contents of the files in their order; not over their names.
//! The folder is written aside, synced and renamed. Its hashes are checked whenever it is opened, and a folder
//! that is not what was written is made again.

mod cache;
mod corpus;
mod describe;
mod documents;
mod encoding;
mod error;
mod files;
mod hashing;
mod manifest;
mod pieces;
mod positioned;
mod progress;
mod rows;
mod source;
mod store;
mod texts;
mod writer;

pub use corpus::Corpus;
pub use error::{CorpusError, TextError};
pub use progress::Progress;
pub use rekindle_data::Documents;
pub use rows::{HELD_OUT, TextRows};
pub use store::TokenStore;
pub use texts::texts;
