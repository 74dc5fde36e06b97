//! Pre-norm transformer decoder with learned positions.
//!
//! Letters: N tokens of all rows, D hidden size, V vocabulary.
//! Reference: transformers `modeling_gpt2.py`; numbers checked in `tests/model/parity.rs`.

use burn::module::Module;
use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_nn::{
    Activation, CausalLm, Depth, Dropout, Embedding, Heads, LanguageModel, LayerCache, LayerNorm,
    Linear, Model, ParameterPath, Place, Slots, TrainBackend,
};

use crate::Gpt2Config;

/// Language model: scores of the next token.
#[derive(Module, Debug)]
pub struct Gpt2Lm<B: Backend> {
    transformer: Gpt2<B>,
    /// `None`: the embedding's transpose.
    lm_head: Option<Linear<B>>,
    #[module(skip)]
    heads: Heads,
}

/// The decoder below the output layer.
#[derive(Module, Debug)]
pub struct Gpt2<B: Backend> {
    wte: Embedding<B>,
    wpe: Embedding<B>,
    dropout: Dropout,
    h: Vec<Layer<B>>,
    ln_f: LayerNorm<B>,
}

/// Attention, then a feed-forward network; each reads its input normalized, and is added to it.
#[derive(Module, Debug)]
struct Layer<B: Backend> {
    ln_1: LayerNorm<B>,
    attn: Attention<B>,
    ln_2: LayerNorm<B>,
    mlp: Mlp<B>,
}

#[derive(Module, Debug)]
struct Attention<B: Backend> {
    /// To queries, keys and values, side by side.
    c_attn: Linear<B>,
    c_proj: Linear<B>,
    weights_dropout: Dropout,
    output_dropout: Dropout,
    /// On queries, besides the root of the head's size that attention divides by.
    query_scale: f64,
    #[module(skip)]
    heads: Heads,
}

#[derive(Module, Debug)]
struct Mlp<B: Backend> {
    c_fc: Linear<B>,
    #[module(skip)]
    activation: Activation,
    c_proj: Linear<B>,
    dropout: Dropout,
}

/// Dropouts of a block; with one before the blocks, each has a site of its own.
const DROPOUTS_PER_LAYER: usize = 3;

impl Gpt2Config {
    /// A language model without its weights: `rekindle_nn::load` or `initialize` fills it.
    pub fn causal_lm<B: Backend>(&self, device: &B::Device) -> Gpt2Lm<B> {
        let embedding = |rows| Embedding::new(rows, self.hidden_size, device);
        let layers = 0..self.num_layers;
        Gpt2Lm {
            transformer: Gpt2 {
                wte: embedding(self.vocab_size),
                wpe: embedding(self.max_positions),
                dropout: Dropout::new(self.embedding_dropout, 0),
                h: layers.map(|index| self.layer(index, device)).collect(),
                ln_f: self.norm(device),
            },
            lm_head: (!self.is_tied)
                .then(|| Linear::without_bias(self.hidden_size, self.vocab_size, device)),
            heads: self.heads(),
        }
    }

    fn layer<B: Backend>(&self, index: usize, device: &B::Device) -> Layer<B> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let site = 1 + DROPOUTS_PER_LAYER * index;
        Layer {
            ln_1: self.norm(device),
            attn: Attention {
                c_attn: Linear::new(hidden, 3 * hidden, device),
                c_proj: Linear::new(hidden, hidden, device),
                weights_dropout: Dropout::new(self.attention_dropout, site),
                output_dropout: Dropout::new(self.residual_dropout, site + 1),
                query_scale: self.query_scale(index),
                heads: self.heads(),
            },
            ln_2: self.norm(device),
            mlp: Mlp {
                c_fc: Linear::new(hidden, inner, device),
                activation: self.activation,
                c_proj: Linear::new(inner, hidden, device),
                dropout: Dropout::new(self.residual_dropout, site + 2),
            },
        }
    }

    fn query_scale(&self, index: usize) -> f64 {
        let unscaled = (self.heads().size as f64).sqrt();
        let scale = if self.scales_scores { 1.0 } else { unscaled };
        if self.scales_by_block {
            scale / (index + 1) as f64
        } else {
            scale
        }
    }

    fn norm<B: Backend>(&self, device: &B::Device) -> LayerNorm<B> {
        LayerNorm::new(self.hidden_size, self.norm_epsilon, device)
    }
}

impl<B: TrainBackend> LanguageModel<B> for Gpt2Lm<B> {
    fn vocabulary(&self) -> usize {
        self.transformer.wte.weight.lazy_shape()[0]
    }

    fn project(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.lm_head {
            Some(lm_head) => lm_head.forward(hidden, None),
            None => B::multiply(hidden, self.transformer.wte.weight.val().transpose()), // [N, V]
        }
    }
}

impl<B: TrainBackend> CausalLm<B> for Gpt2Lm<B> {
    fn heads(&self) -> Heads {
        self.heads
    }

    fn place(&self, slots: Slots, _device: &B::Device) -> Place<B> {
        Place::new(slots, None)
    }

    fn embed(&self, ids: Tensor<B, 1, Int>, place: &Place<B>) -> Tensor<B, 2> {
        let positions = place.slots.positions().into_iter();
        let positions: Vec<i32> = positions.map(|position| position as i32).collect();
        let positions = Tensor::from_data(positions.as_slice(), &ids.device()); // [N]
        let body = &self.transformer;
        let sum = body.wte.forward(ids) + body.wpe.forward(positions);
        body.dropout.forward(sum, place.slots.noise())
    }

    fn block(
        &self,
        index: usize,
        hidden: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        self.transformer.h[index].forward(hidden, place, cache)
    }

    fn norm(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        self.transformer.ln_f.forward(hidden)
    }
}

impl<B: TrainBackend> Layer<B> {
    fn forward(
        &self,
        x: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        let normalized = self.ln_1.forward(x.clone());
        let noise = place.slots.noise();
        let branch = self.attn.forward(normalized, place, cache);
        let x = self.attn.output_dropout.add(x, branch, noise);
        let branch = self.mlp.forward(self.ln_2.forward(x.clone()), place);
        self.mlp.dropout.add(x, branch, noise)
    }
}

impl<B: TrainBackend> Attention<B> {
    fn forward(
        &self,
        x: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        let noise = place.slots.noise();
        let width = x.dims()[1];
        let fused = self.c_attn.forward(x, noise); // [N, 3·D]
        let [query, key, value] =
            [0, 1, 2].map(|part| fused.clone().narrow(1, part * width, width));
        let query = if self.query_scale == 1.0 {
            query
        } else {
            query * self.query_scale
        };
        let qkv = [query, key, value];
        let mixed = place.attend(qkv, self.heads, &self.weights_dropout, cache);
        self.c_proj.forward(mixed, noise)
    }
}

impl<B: TrainBackend> Mlp<B> {
    fn forward(&self, x: Tensor<B, 2>, place: &Place<B>) -> Tensor<B, 2> {
        let noise = place.slots.noise();
        let inner = self.activation.forward(self.c_fc.forward(x, noise));
        self.c_proj.forward(inner, noise)
    }
}

impl<B: Backend> Model<B> for Gpt2Lm<B> {
    fn num_blocks(&self) -> usize {
        self.transformer.h.len()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        match path.name.split('.').collect::<Vec<_>>().as_slice() {
            ["transformer", "h", index, ..] => Depth::Block(
                index
                    .parse()
                    .expect("Burn names the items of a `Vec` by their index"),
            ),
            ["transformer", "wte" | "wpe", ..] => Depth::Embeddings,
            _ => Depth::Head,
        }
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let layers = self.transformer.h.iter_mut().enumerate();
        let named = layers.flat_map(|(index, layer)| {
            [
                ("attn.c_attn", &mut layer.attn.c_attn),
                ("attn.c_proj", &mut layer.attn.c_proj),
                ("mlp.c_fc", &mut layer.mlp.c_fc),
                ("mlp.c_proj", &mut layer.mlp.c_proj),
            ]
            .map(|(name, linear)| (format!("transformer.h.{index}.{name}"), linear))
        });
        let lm_head = self.lm_head.as_mut();
        named
            .chain(lm_head.map(|linear| ("lm_head".to_owned(), linear)))
            .collect()
    }
}
