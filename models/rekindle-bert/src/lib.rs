//! BERT, RoBERTa, XLM-R, CamemBERT and DistilBERT: one post-norm encoder, and heads as transformers has them.
//!
//! The architectures differ in the names of their tensors, the offset of their positions, the segment
//! table, and the layers of the classification head; `config.rs` and `weights.rs` hold the differences.

mod config;
mod masked;
mod model;
mod sentence;
mod weights;

pub use config::{BertConfig, ConfigError, Family};
pub use masked::WordPredictor;
pub use model::{Bert, SequenceClassifier, TokenClassifier};
pub use sentence::{SentenceEncoder, Student};
pub use weights::BertNames;
