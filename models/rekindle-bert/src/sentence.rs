//! Sentence embeddings: an encoder whose states are averaged, and a smaller one that learns to give the same.
//!
//! Letters: N tokens of all rows, R rows, D hidden size, T width of the teacher.
//! Reference: sentence-transformers' mean pooling and normalization (Reimers and Gurevych, 2019).

use burn::module::Module;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rekindle_nn::{
    Classifier, Depth, Input, Linear, Model, ParameterPath, Rows, Tagger, TrainBackend,
};

use crate::BertConfig;
use crate::model::{Bert, depth};

/// Gives each row one vector of length 1: the mean of its tokens' states.
#[derive(Module, Debug)]
pub struct SentenceEncoder<B: Backend> {
    encoder: Bert<B>,
}

/// An encoder whose states, on a linear map, learn to be a teacher's vectors: the first token's that of its
/// row, the others' those of their words.
///
/// The map serves training alone: a checkpoint holds the encoder.
#[derive(Module, Debug)]
pub struct Student<B: Backend> {
    encoder: Bert<B>,
    projection: Linear<B>,
}

impl BertConfig {
    /// A sentence encoder without its weights: `rekindle_nn::load` fills it.
    pub fn sentence_encoder<B: Backend>(&self, device: &B::Device) -> SentenceEncoder<B> {
        let encoder = self.encoder(device);
        SentenceEncoder { encoder }
    }

    /// A student of a teacher of this width, without its weights: `rekindle_nn::load` or `initialize`
    /// fills it.
    pub fn student<B: Backend>(&self, width: usize, device: &B::Device) -> Student<B> {
        Student {
            encoder: self.encoder(device),
            projection: Linear::new(self.hidden_size, width, device),
        }
    }
}

impl<B: TrainBackend> SentenceEncoder<B> {
    /// The vectors of rows.
    ///
    /// # Shapes
    /// - input: `[N]`
    /// - output: `[R, D]`
    pub fn forward(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let hidden = self.states(input, rows); // [N, D]
        let means = averages(rows, &hidden.device()).matmul(hidden); // [R, D]
        let lengths = (means.clone() * means.clone()).sum_dim(1).sqrt(); // [R, 1]
        means / lengths
    }

    /// The states of tokens, `[N]` to `[N, D]`.
    pub fn states(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        self.encoder.forward(input, rows)
    }
}

/// The matrix that averages the tokens of each row, `[R, N]`.
fn averages<B: Backend>(rows: &Rows, device: &B::Device) -> Tensor<B, 2> {
    let (starts, lengths, slots) = (rows.starts(), rows.lengths(), rows.num_slots());
    let mut values = vec![0.0_f32; starts.len() * slots];
    for (row, (&start, &length)) in starts.iter().zip(lengths).enumerate() {
        values[row * slots + start..][..length].fill(1.0 / length as f32);
    }
    Tensor::from_data(TensorData::new(values, [starts.len(), slots]), device)
}

impl<B: TrainBackend> Classifier<B> for Student<B> {
    fn classify(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let first = self.encoder.first_states(input, rows); // [R, D]
        self.projection.forward(first, rows.noise()) // [R, T]
    }
}

impl<B: TrainBackend> Tagger<B> for Student<B> {
    fn tag(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let hidden = self.encoder.forward(input, rows); // [N, D]
        self.projection.forward(hidden, rows.noise()) // [N, T]
    }
}

impl<B: Backend> Model<B> for SentenceEncoder<B> {
    fn num_blocks(&self) -> usize {
        self.encoder.num_blocks()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        depth(path)
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        self.encoder.linears_mut()
    }
}

impl<B: Backend> Model<B> for Student<B> {
    fn num_blocks(&self) -> usize {
        self.encoder.num_blocks()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        depth(path)
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut linears = self.encoder.linears_mut();
        linears.push(("projection".to_owned(), &mut self.projection));
        linears
    }
}
