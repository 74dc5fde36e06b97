//! Layers shared by Rekindle's models, and the backend extension that they call.
//!
//! Hidden states are `[N, D]`: the tokens of all rows, one below the other. [`Rows`] describes where each
//! row lies; only attention, positions and heads read it. Every other layer is a plain 2-D product.

mod activation;
mod attention;
mod cache;
mod composed;
mod dropout;
mod dtype;
mod embedding;
mod graph;
mod heads;
mod init;
mod kernels;
mod linear;
mod lora;
mod masks;
mod noise;
mod norm;
mod parameters;
mod place;
mod roles;
mod rotary;
mod rows;
mod state;
mod train_backend;
mod weights;

pub use activation::Activation;
pub use attention::SelfAttention;
pub use cache::{KvCache, LayerCache};
pub use dropout::Dropout;
pub use dtype::cast;
pub use embedding::Embedding;
pub use heads::{Heads, Sight};
pub use init::{Fresh, initialize, initialize_each, lazy_parameter};
pub use kernels::{Awake, Fused, Kernel, Kernels, Unary, kernel_calls, set_kernels};
pub use linear::{Linear, LoraAdapter};
pub use lora::{
    Adaptation, Lora, LoraError, Targets, export_adapter, group, has_output_layer, is_in_module,
    load_adapter, lora_scale, merge,
};
pub use masks::Masks;
pub use noise::{Noise, uniform};
pub use norm::{LayerNorm, RmsNorm};
pub use parameters::{
    NamedMapper, NamedVisitor, Parameter, ParameterPath, count, list, map_named, visit_named,
};
pub use place::{Columns, Place, Slots};
pub use roles::{CausalLm, Classifier, Depth, Input, LanguageModel, MaskedLm, Model, Stem, Tagger};
pub use rotary::{Rotary, RotaryScaling, rotate};
pub use rows::Rows;
pub use state::{export_trainable, restore_trainable};
pub use train_backend::{AdamWStep, AdapterPass, TrainBackend};
pub use weights::{
    CheckpointNames, ExportedTensor, LoadReport, ReadError, ShapeMismatch, TensorSource,
    WeightsError, export, export_scaffold, is_transposed, load, tensor_name,
};
