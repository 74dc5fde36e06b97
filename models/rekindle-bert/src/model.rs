//! Post-norm transformer encoder with learned positions, and the two heads that classify.
//!
//! Letters: N tokens of all rows, R rows, D hidden size, L labels.
//! Reference: transformers `modeling_bert.py`, `modeling_roberta.py`, `modeling_distilbert.py`; numbers
//! checked in `tests/model/parity.rs`.

use burn::module::Module;
use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_nn::{
    Activation, Classifier, Depth, Dropout, Embedding, Input, LayerNorm, Linear, Model, Noise,
    ParameterPath, Rows, SelfAttention, Tagger, TrainBackend,
};

use crate::{BertConfig, Family};

/// Scores for each row: a dense layer on the first token's state, then the classifier.
#[derive(Module, Debug)]
pub struct SequenceClassifier<B: Backend> {
    encoder: Bert<B>,
    /// BERT's pooler, RoBERTa's `classifier.dense`, DistilBERT's `pre_classifier`.
    dense: Linear<B>,
    #[module(skip)]
    activation: Activation,
    /// RoBERTa drops out before the dense layer too.
    input_dropout: Option<Dropout>,
    dropout: Dropout,
    classifier: Linear<B>,
}

/// Scores for each token.
#[derive(Module, Debug)]
pub struct TokenClassifier<B: Backend> {
    encoder: Bert<B>,
    dropout: Dropout,
    classifier: Linear<B>,
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Bert<B: Backend> {
    embeddings: Embeddings<B>,
    layers: Vec<Layer<B>>,
}

#[derive(Module, Debug)]
struct Embeddings<B: Backend> {
    word: Embedding<B>,
    position: Embedding<B>,
    /// Segments; DistilBERT has none.
    token_type: Option<Embedding<B>>,
    norm: LayerNorm<B>,
    dropout: Dropout,
    position_offset: usize,
}

/// Attention, then a feed-forward network, each added to its input and normalized.
#[derive(Module, Debug)]
struct Layer<B: Backend> {
    attention: SelfAttention<B>,
    attention_output: Linear<B>,
    attention_dropout: Dropout,
    attention_norm: LayerNorm<B>,
    intermediate: Linear<B>,
    #[module(skip)]
    activation: Activation,
    output: Linear<B>,
    output_dropout: Dropout,
    output_norm: LayerNorm<B>,
}

/// Dropouts of a block; with one before the blocks and two after them, each has a site of its own.
const DROPOUTS_PER_LAYER: usize = 3;

impl BertConfig {
    /// A sequence classifier without its weights: `rekindle_nn::load` or `initialize` fills it.
    pub fn classifier<B: Backend>(
        &self,
        num_labels: usize,
        device: &B::Device,
    ) -> SequenceClassifier<B> {
        let site = self.head_site();
        let dropout = |site| Dropout::new(self.sequence_dropout, site);
        SequenceClassifier {
            encoder: self.encoder(device),
            dense: Linear::new(self.hidden_size, self.hidden_size, device),
            activation: match self.family {
                Family::Bert | Family::Roberta => Activation::Tanh,
                Family::DistilBert => Activation::Relu,
            },
            input_dropout: (self.family == Family::Roberta).then(|| dropout(site + 1)),
            dropout: dropout(site),
            classifier: Linear::new(self.hidden_size, num_labels, device),
        }
    }

    /// A token classifier without its weights: `rekindle_nn::load` or `initialize` fills it.
    pub fn tagger<B: Backend>(&self, num_labels: usize, device: &B::Device) -> TokenClassifier<B> {
        TokenClassifier {
            encoder: self.encoder(device),
            dropout: Dropout::new(self.token_dropout, self.head_site()),
            classifier: Linear::new(self.hidden_size, num_labels, device),
        }
    }

    fn head_site(&self) -> usize {
        1 + DROPOUTS_PER_LAYER * self.num_layers
    }

    pub(crate) fn encoder<B: Backend>(&self, device: &B::Device) -> Bert<B> {
        let embedding = |rows| Embedding::new(rows, self.hidden_size, device);
        Bert {
            embeddings: Embeddings {
                word: embedding(self.vocab_size),
                position: embedding(self.position_rows),
                token_type: (self.type_vocab_size > 0).then(|| embedding(self.type_vocab_size)),
                norm: self.norm(device),
                dropout: Dropout::new(self.hidden_dropout, 0),
                position_offset: self.position_offset,
            },
            layers: (0..self.num_layers)
                .map(|index| self.layer(index, device))
                .collect(),
        }
    }

    fn layer<B: Backend>(&self, index: usize, device: &B::Device) -> Layer<B> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let site = 1 + DROPOUTS_PER_LAYER * index;
        let attention_weights = Dropout::new(self.attention_dropout, site);
        Layer {
            attention: SelfAttention::new(hidden, self.num_heads, attention_weights, device),
            attention_output: Linear::new(hidden, hidden, device),
            attention_dropout: Dropout::new(self.hidden_dropout, site + 1),
            attention_norm: self.norm(device),
            intermediate: Linear::new(hidden, inner, device),
            activation: self.activation,
            output: Linear::new(inner, hidden, device),
            output_dropout: Dropout::new(self.hidden_dropout, site + 2),
            output_norm: self.norm(device),
        }
    }

    pub(crate) fn norm<B: Backend>(&self, device: &B::Device) -> LayerNorm<B> {
        LayerNorm::new(self.hidden_size, self.norm_epsilon, device)
    }
}

impl<B: Backend> SequenceClassifier<B> {
    /// The encoder below the head.
    pub fn encoder(&self) -> &Bert<B> {
        &self.encoder
    }
}

impl<B: Backend> TokenClassifier<B> {
    /// The encoder below the head.
    pub fn encoder(&self) -> &Bert<B> {
        &self.encoder
    }
}

impl<B: TrainBackend> Classifier<B> for SequenceClassifier<B> {
    fn classify(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let first = self.encoder.first_states(input, rows); // [R, D]
        let first = match &self.input_dropout {
            Some(dropout) => dropout.forward(first, rows.noise()),
            None => first,
        };
        let pooled = self
            .activation
            .forward(self.dense.forward(first, rows.noise())); // [R, D]
        let pooled = self.dropout.forward(pooled, rows.noise());
        self.classifier.forward(pooled, rows.noise()) // [R, L]
    }
}

impl<B: TrainBackend> Tagger<B> for TokenClassifier<B> {
    fn tag(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let hidden = self.encoder.forward(input, rows);
        let hidden = self.dropout.forward(hidden, rows.noise());
        self.classifier.forward(hidden, rows.noise()) // [N, L]
    }
}

impl<B: TrainBackend> Bert<B> {
    /// Hidden states after the last block.
    ///
    /// # Shapes
    /// - input: `[N]`
    /// - output: `[N, D]`
    pub fn forward(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        self.stem(input, rows, self.layers.len())
    }

    /// The state of each row's first token after the last block, `[N]` to `[R, D]`: of that block nothing
    /// else is computed but keys and values.
    pub fn first_states(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let blocks = self.layers.len();
        let done = input.stem.as_ref().map_or(0, |stem| stem.blocks);
        match self.layers.last() {
            Some(last) if done < blocks => {
                last.forward_first(self.stem(input, rows, blocks - 1), rows)
            }
            _ => first_tokens(self.stem(input, rows, blocks), rows),
        }
    }

    /// Hidden states after the first `blocks` blocks, `[N]` to `[N, D]`; it begins at the input's stem, if
    /// there is one.
    pub fn stem(&self, mut input: Input<B>, rows: &Rows, blocks: usize) -> Tensor<B, 2> {
        let (first, mut hidden) = match input.stem.take() {
            Some(stem) => (stem.blocks, stem.states),
            None => (0, self.embed(input, rows)),
        };
        for index in first..blocks {
            hidden = self.block(index, hidden, rows);
        }
        hidden
    }

    /// Hidden states before the first block, `[N, D]`.
    pub fn embed(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        self.embeddings.forward(input, rows)
    }

    /// Hidden states after one block, `[N, D]` to `[N, D]`.
    pub fn block(&self, index: usize, hidden: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        self.layers[index].forward(hidden, rows)
    }
}

impl<B: TrainBackend> Embeddings<B> {
    fn forward(&self, input: Input<B>, rows: &Rows) -> Tensor<B, 2> {
        let positions = rows
            .positions()
            .into_iter()
            .map(|p| p + self.position_offset)
            .collect();
        let mut sum = self.word.forward(input.ids);
        if let Some(token_type) = &self.token_type {
            sum = sum + token_type.forward(input.type_ids);
        }
        let sum = sum
            + self
                .position
                .forward(slots(positions, &self.position.weight.device()));
        self.dropout.forward(self.norm.forward(sum), rows.noise())
    }
}

impl<B: TrainBackend> Layer<B> {
    fn forward(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let attended = self.attention.forward(x.clone(), rows);
        self.after_attention(x, attended, rows.noise())
    }

    /// The states of first tokens, `[N, D]` to `[R, D]`.
    fn forward_first(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let first = first_tokens(x.clone(), rows);
        let attended = self.attention.forward_first(x, first.clone(), rows);
        self.after_attention(first, attended, rows.noise())
    }

    /// All that follows the attention, of any tokens.
    fn after_attention(
        &self,
        x: Tensor<B, 2>,
        attended: Tensor<B, 2>,
        noise: Option<Noise>,
    ) -> Tensor<B, 2> {
        let attended = self.attention_output.forward(attended, noise);
        let x = self
            .attention_norm
            .forward(self.attention_dropout.add(x, attended, noise));
        let inner = self.intermediate.forward(x.clone(), noise);
        let output = self.output.forward(self.activation.forward(inner), noise);
        self.output_norm
            .forward(self.output_dropout.add(x, output, noise))
    }
}

impl<B: Backend> Bert<B> {
    /// Number of blocks.
    pub fn num_blocks(&self) -> usize {
        self.layers.len()
    }

    /// The embedding of the words, `[V, D]`.
    pub(crate) fn words(&self) -> Tensor<B, 2> {
        self.embeddings.word.weight.val()
    }

    /// Every linear layer, named from the model's root.
    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let layers = self.layers.iter_mut().enumerate();
        let named = layers.flat_map(|(index, layer)| {
            let [query, key, value] = layer.attention.projections_mut();
            [
                ("attention.query", query),
                ("attention.key", key),
                ("attention.value", value),
                ("attention_output", &mut layer.attention_output),
                ("intermediate", &mut layer.intermediate),
                ("output", &mut layer.output),
            ]
            .map(|(name, linear)| (format!("encoder.layers.{index}.{name}"), linear))
        });
        named.collect()
    }
}

impl<B: Backend> Model<B> for SequenceClassifier<B> {
    fn num_blocks(&self) -> usize {
        self.encoder.num_blocks()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        depth(path)
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut linears = self.encoder.linears_mut();
        linears.push(("dense".to_owned(), &mut self.dense));
        linears.push(("classifier".to_owned(), &mut self.classifier));
        linears
    }

    fn stem(&self, input: Input<B>, rows: &Rows, blocks: usize) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        Some(self.encoder.stem(input, rows, blocks))
    }

    fn first_stem(&self, input: Input<B>, rows: &Rows) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        Some(self.encoder.first_states(input, rows))
    }
}

impl<B: Backend> Model<B> for TokenClassifier<B> {
    fn num_blocks(&self) -> usize {
        self.encoder.num_blocks()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        depth(path)
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut linears = self.encoder.linears_mut();
        linears.push(("classifier".to_owned(), &mut self.classifier));
        linears
    }

    fn stem(&self, input: Input<B>, rows: &Rows, blocks: usize) -> Option<Tensor<B, 2>>
    where
        B: TrainBackend,
    {
        Some(self.encoder.stem(input, rows, blocks))
    }
}

/// Where a parameter of a model with an encoder stands.
pub(crate) fn depth(path: &ParameterPath) -> Depth {
    match path.name.split('.').collect::<Vec<_>>().as_slice() {
        ["encoder", "layers", index, ..] => Depth::Block(
            index
                .parse()
                .expect("Burn names the items of a `Vec` by their index"),
        ),
        ["encoder", ..] => Depth::Embeddings,
        _ => Depth::Head,
    }
}

/// The state of each row's first token, `[N, D]` to `[R, D]`.
fn first_tokens<B: Backend>(hidden: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
    let device = hidden.device();
    hidden.select(0, slots(rows.starts(), &device))
}

fn slots<B: Backend>(slots: Vec<usize>, device: &B::Device) -> Tensor<B, 1, Int> {
    let slots: Vec<i32> = slots.into_iter().map(|slot| slot as i32).collect();
    Tensor::from_data(slots.as_slice(), device)
}
