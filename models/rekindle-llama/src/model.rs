//! Pre-norm transformer decoder with rotary positions, shared key heads and gated feed-forward layers.
//!
//! Letters: N tokens of all rows, D hidden size, H query heads, K key heads, C head size, V vocabulary.
//! Reference: transformers `modeling_llama.py`, `modeling_mistral.py`, `modeling_qwen2.py`,
//! `modeling_qwen3.py`; numbers checked in `tests/model/parity.rs`.

#![expect(
    clippy::struct_field_names,
    reason = "fields have the names of the checkpoint"
)]

use burn::module::Module;
use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_nn::{
    CausalLm, Depth, Dropout, Embedding, Heads, LanguageModel, LayerCache, Linear, Model,
    ParameterPath, Place, RmsNorm, Rotary, Sight, Slots, TrainBackend, rotate,
};

use crate::LlamaConfig;

/// Language model: scores of the next token.
#[derive(Module, Debug)]
pub struct LlamaLm<B: Backend> {
    model: Llama<B>,
    /// `None`: the embedding's transpose.
    lm_head: Option<Linear<B>>,
    #[module(skip)]
    rotary: Rotary,
    #[module(skip)]
    heads: Heads,
}

/// The decoder below the output layer.
#[derive(Module, Debug)]
pub struct Llama<B: Backend> {
    embed_tokens: Embedding<B>,
    layers: Vec<Layer<B>>,
    norm: RmsNorm<B>,
}

/// Attention, then a feed-forward network; each reads its input normalized, and is added to it.
#[derive(Module, Debug)]
struct Layer<B: Backend> {
    input_layernorm: RmsNorm<B>,
    self_attn: Attention<B>,
    post_attention_layernorm: RmsNorm<B>,
    mlp: Mlp<B>,
}

#[derive(Module, Debug)]
struct Attention<B: Backend> {
    q_proj: Linear<B>,
    k_proj: Linear<B>,
    v_proj: Linear<B>,
    o_proj: Linear<B>,
    /// Qwen3 normalizes queries and keys before they turn.
    q_norm: Option<RmsNorm<B>>,
    k_norm: Option<RmsNorm<B>>,
    dropout: Dropout,
    #[module(skip)]
    heads: Heads,
}

#[derive(Module, Debug)]
struct Mlp<B: Backend> {
    gate_proj: Linear<B>,
    up_proj: Linear<B>,
    down_proj: Linear<B>,
}

impl LlamaConfig {
    /// A language model without its weights: `rekindle_nn::load` or `initialize` fills it.
    pub fn causal_lm<B: Backend>(&self, device: &B::Device) -> LlamaLm<B> {
        let layers = 0..self.num_layers;
        LlamaLm {
            model: Llama {
                embed_tokens: Embedding::new(self.vocab_size, self.hidden_size, device),
                layers: layers.map(|index| self.layer(index, device)).collect(),
                norm: self.norm(self.hidden_size, device),
            },
            lm_head: (!self.is_tied)
                .then(|| Linear::without_bias(self.hidden_size, self.vocab_size, device)),
            rotary: self.rotary.clone(),
            heads: self.heads(),
        }
    }

    fn layer<B: Backend>(&self, index: usize, device: &B::Device) -> Layer<B> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let inwards = || linear(self.has_mlp_bias, hidden, inner, device);
        Layer {
            input_layernorm: self.norm(hidden, device),
            self_attn: self.attention(index, device),
            post_attention_layernorm: self.norm(hidden, device),
            mlp: Mlp {
                gate_proj: inwards(),
                up_proj: inwards(),
                down_proj: linear(self.has_mlp_bias, inner, hidden, device),
            },
        }
    }

    fn attention<B: Backend>(&self, index: usize, device: &B::Device) -> Attention<B> {
        let (hidden, size) = (self.hidden_size, self.head_size);
        let (queries, keys) = (self.num_heads * size, self.num_key_heads * size);
        let project = |outputs| linear(self.has_query_bias, hidden, outputs, device);
        let head_norm = || self.has_head_norms.then(|| self.norm(size, device));
        Attention {
            q_proj: project(queries),
            k_proj: project(keys),
            v_proj: project(keys),
            o_proj: linear(self.has_output_bias, queries, hidden, device),
            q_norm: head_norm(),
            k_norm: head_norm(),
            dropout: Dropout::new(self.attention_dropout, index),
            heads: Heads {
                sight: Sight::Causal {
                    window: self.windows[index],
                },
                ..self.heads()
            },
        }
    }

    fn norm<B: Backend>(&self, width: usize, device: &B::Device) -> RmsNorm<B> {
        RmsNorm::new(width, self.norm_epsilon, device)
    }
}

fn linear<B: Backend>(
    has_bias: bool,
    inputs: usize,
    outputs: usize,
    device: &B::Device,
) -> Linear<B> {
    if has_bias {
        Linear::new(inputs, outputs, device)
    } else {
        Linear::without_bias(inputs, outputs, device)
    }
}

impl<B: TrainBackend> LanguageModel<B> for LlamaLm<B> {
    fn vocabulary(&self) -> usize {
        self.model.embed_tokens.weight.lazy_shape()[0]
    }

    fn project(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.lm_head {
            Some(lm_head) => lm_head.forward(hidden, None),
            None => B::multiply(hidden, self.model.embed_tokens.weight.val().transpose()), // [N, V]
        }
    }
}

impl<B: TrainBackend> CausalLm<B> for LlamaLm<B> {
    fn heads(&self) -> Heads {
        self.heads
    }

    fn place(&self, slots: Slots, device: &B::Device) -> Place<B> {
        let rotary = self.rotary.tables(&slots.positions(), device);
        Place::new(slots, Some(rotary))
    }

    fn embed(&self, ids: Tensor<B, 1, Int>, _place: &Place<B>) -> Tensor<B, 2> {
        self.model.embed_tokens.forward(ids)
    }

    fn block(
        &self,
        index: usize,
        hidden: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        self.model.layers[index].forward(hidden, place, cache)
    }

    fn norm(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        self.model.norm.forward(hidden)
    }
}

impl<B: TrainBackend> Layer<B> {
    fn forward(
        &self,
        x: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        let normalized = self.input_layernorm.forward(x.clone());
        let x = B::add(x, self.self_attn.forward(normalized, place, cache), None);
        let normalized = self.post_attention_layernorm.forward(x.clone());
        B::add(x, self.mlp.forward(normalized, place), None)
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
        let query = self.q_proj.forward(x.clone(), noise); // [N, H·C]
        let key = self.k_proj.forward(x.clone(), noise); // [N, K·C]
        let value = self.v_proj.forward(x, noise);
        let turn = |x, norm: &Option<RmsNorm<B>>| {
            let x = match norm {
                Some(norm) => norm.forward_heads(x),
                None => x,
            };
            match &place.rotary {
                Some(tables) => rotate(x, tables),
                None => x,
            }
        };
        let (query, key) = (turn(query, &self.q_norm), turn(key, &self.k_norm));
        let mixed = place.attend([query, key, value], self.heads, &self.dropout, cache);
        self.o_proj.forward(mixed, noise)
    }
}

impl<B: TrainBackend> Mlp<B> {
    fn forward(&self, x: Tensor<B, 2>, place: &Place<B>) -> Tensor<B, 2> {
        let noise = place.slots.noise();
        let gate = self.gate_proj.forward(x.clone(), noise);
        let up = self.up_proj.forward(x, noise);
        self.down_proj.forward(B::swiglu(gate, up), noise)
    }
}

impl<B: Backend> Model<B> for LlamaLm<B> {
    fn num_blocks(&self) -> usize {
        self.model.layers.len()
    }

    fn depth(&self, path: &ParameterPath) -> Depth {
        match path.name.split('.').collect::<Vec<_>>().as_slice() {
            ["model", "layers", index, ..] => Depth::Block(
                index
                    .parse()
                    .expect("Burn names the items of a `Vec` by their index"),
            ),
            ["model", "embed_tokens", ..] => Depth::Embeddings,
            _ => Depth::Head,
        }
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let layers = self.model.layers.iter_mut().enumerate();
        let named = layers.flat_map(|(index, layer)| {
            let (attention, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            [
                ("self_attn.q_proj", &mut attention.q_proj),
                ("self_attn.k_proj", &mut attention.k_proj),
                ("self_attn.v_proj", &mut attention.v_proj),
                ("self_attn.o_proj", &mut attention.o_proj),
                ("mlp.gate_proj", &mut mlp.gate_proj),
                ("mlp.up_proj", &mut mlp.up_proj),
                ("mlp.down_proj", &mut mlp.down_proj),
            ]
            .map(|(name, linear)| (format!("model.layers.{index}.{name}"), linear))
        });
        let lm_head = self.lm_head.as_mut();
        named
            .chain(lm_head.map(|linear| ("lm_head".to_owned(), linear)))
            .collect()
    }
}
