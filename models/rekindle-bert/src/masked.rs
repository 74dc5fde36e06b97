//! The head that gives hidden words back: a transformed state against every word's embedding.
//!
//! Letters: N tokens of all rows, n of them that are asked for, D hidden size, V vocabulary.
//! Reference: `BertLMPredictionHead`, `RobertaLMHead` and `DistilBertForMaskedLM` of transformers; numbers
//! checked in `tests/model/parity.rs`.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_nn::{
    Activation, Depth, Input, LanguageModel, LayerNorm, Linear, MaskedLm, Model, ParameterPath,
    Rows, TrainBackend, lazy_parameter,
};

use crate::model::depth;
use crate::{Bert, BertConfig, Family};

/// Scores of all words for chosen tokens.
#[derive(Module, Debug)]
pub struct WordPredictor<B: Backend> {
    encoder: Bert<B>,
    /// BERT's `transform.dense`, RoBERTa's `lm_head.dense`, DistilBERT's `vocab_transform`.
    dense: Linear<B>,
    #[module(skip)]
    activation: Activation,
    norm: LayerNorm<B>,
    decoder: TiedDecoder<B>,
}

/// The output layer without its weight, which is the embedding of the words.
#[derive(Module, Debug)]
struct TiedDecoder<B: Backend> {
    /// `[V]`.
    bias: Param<Tensor<B, 1>>,
}

impl BertConfig {
    /// A predictor of words without its weights: `rekindle_nn::load` or `initialize` fills it.
    ///
    /// Its decoder is the embedding of the words, whatever `is_tied` says: see
    /// [`BertConfig::check_tied`].
    pub fn word_predictor<B: Backend>(&self, device: &B::Device) -> WordPredictor<B> {
        WordPredictor {
            encoder: self.encoder(device),
            dense: Linear::new(self.hidden_size, self.hidden_size, device),
            activation: match self.family {
                Family::Bert | Family::DistilBert => self.activation,
                // Fixed in transformers' `RobertaLMHead`.
                Family::Roberta => Activation::Gelu,
            },
            norm: self.norm(device),
            decoder: TiedDecoder {
                bias: lazy_parameter([self.vocab_size], 0.0, device),
            },
        }
    }
}

impl<B: Backend> WordPredictor<B> {
    /// The encoder below the head.
    pub fn encoder(&self) -> &Bert<B> {
        &self.encoder
    }
}

impl<B: TrainBackend> LanguageModel<B> for WordPredictor<B> {
    fn vocabulary(&self) -> usize {
        self.decoder.bias.lazy_shape().dims::<1>()[0]
    }

    fn project(&self, states: Tensor<B, 2>) -> Tensor<B, 2> {
        let words = self.encoder.words().transpose();
        B::affine(states, words, self.decoder.bias.val()) // [n, V]
    }
}

impl<B: TrainBackend> MaskedLm<B> for WordPredictor<B> {
    fn states(&self, input: Input<B>, rows: &Rows, slots: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        let hidden = self.encoder.forward(input, rows); // [N, D]
        let chosen = hidden.select(0, slots); // [n, D]
        let transformed = self.dense.forward(chosen, rows.noise());
        self.norm.forward(self.activation.forward(transformed))
    }
}

impl<B: Backend> Model<B> for WordPredictor<B> {
    fn num_blocks(&self) -> usize {
        self.encoder.num_blocks()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        depth(path)
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut linears = self.encoder.linears_mut();
        linears.push(("dense".to_owned(), &mut self.dense));
        linears
    }
}
