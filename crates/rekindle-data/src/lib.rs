//! Typed examples, tokenization, chat templates, splits and the order of batches.
//!
//! A file becomes [`Records`] (rows of JSON fields, whatever its format), a dataset crate maps each
//! record to a typed example, and the result is a [`Dataset`]. Nothing here knows a model or a tensor.

mod audit;
mod documents;
mod error;
mod example;
mod generation;
mod labels;
mod masking;
mod plan;
mod record;
mod renderer;
mod seeded;
mod source;
mod split;
mod task;
mod tokenizer;
mod vocabulary;

pub use audit::{duplicates, overlap};
pub use documents::{Documents, UnknownDocuments};
pub use error::{DataError, RowError};
pub use example::{Dataset, Labeled, TaggedExample, Target, TextExample, TextInput};
pub use generation::{Content, GenerationExample, Message, Role, UnknownRole};
pub use labels::LabelSet;
pub use masking::{Draw, HiddenToken, MaskVocabulary, Masked, Masker};
pub use plan::{BatchPlan, Batching, packs};
pub use record::{Format, FormatGuess, Record, Records, value_kind};
pub use renderer::{Decoder, Dropped, RenderError, Rendered, Renderer, special_ids};
pub use seeded::{Purpose, Seeded};
pub use source::Source;
pub use split::{Split, stratified_split};
pub use task::{Inference, TaskKind, UnknownTask, infer_task, is_text_alone};
pub use tokenizer::{Encoded, EncodedWords, Limit, TextTokenizer, TokenizerError, Truncation};
pub use vocabulary::{NewTokenizer, TokenizerKind, TokenizerRecipe, VocabularyError};
