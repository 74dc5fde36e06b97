//! Random language models that can learn, as folders.

use std::fs;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use crate::place::Place;

/// A byte-level tokenizer with the special tokens of several families.
const TOKENIZER: &str = include_str!("../../../rekindle-data/tests/fixtures/chat/tokenizer.json");

/// Ids of the tokenizer.
pub(crate) const VOCABULARY: usize = 400;

/// Tokens that the models read.
pub(crate) const POSITIONS: usize = 96;

/// The token that ends each message of [`TEMPLATE`].
pub(crate) const TURN_END: u32 = 384;

/// A chat as several families write it; it refuses messages of tools.
pub(crate) const TEMPLATE: &str = "{% for message in messages %}\
    {% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}\
    {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Width of the hidden states.
const HIDDEN: usize = 48;

/// Width inside the feed-forward layers.
const INNER: usize = 96;

/// Width of all key heads.
const KEYS: usize = HIDDEN / 2;

/// Blocks.
const LAYERS: usize = 2;

/// Names, shapes and how far values lie around their middle; a scale of a norm lies at 1.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>, Vec<f32>)>);

impl Place {
    /// Writes a random Llama in the folder `base`, with [`TEMPLATE`] for chats.
    pub(crate) fn llama(&self) {
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "hidden_act": "silu",
            "max_position_embeddings": POSITIONS,
            "initializer_range": 0.02,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": false,
        });
        let settings = json!({
            "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true,
            "chat_template": TEMPLATE,
        });
        self.decoder(&config, &settings, &llama());
    }

    /// Writes a random GPT-2 in the folder `base`: one token begins texts, ends them, and pads.
    pub(crate) fn gpt2(&self) {
        let end = 385;
        let config = json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": VOCABULARY,
            "n_embd": HIDDEN,
            "n_inner": INNER,
            "n_layer": LAYERS,
            "n_head": 4,
            "n_positions": POSITIONS,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "initializer_range": 0.02,
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "bos_token_id": end,
            "eos_token_id": end,
            "pad_token_id": end,
        });
        let token = "<|endoftext|>";
        let settings = json!({"bos_token": token, "eos_token": token, "pad_token": token});
        self.decoder(&config, &settings, &gpt2());
    }

    fn decoder(&self, config: &Value, settings: &Value, weights: &[u8]) {
        fs::create_dir(self.path("base")).unwrap();
        self.write("base/config.json", &config.to_string());
        self.write("base/tokenizer.json", TOKENIZER);
        self.write("base/tokenizer_config.json", &settings.to_string());
        fs::write(self.path("base/model.safetensors"), weights).unwrap();
    }

    /// Changes fields of the model's `tokenizer_config.json`.
    pub(crate) fn set_token(&self, field: &str, value: Value) {
        let file = "base/tokenizer_config.json";
        let mut config: Map<String, Value> = serde_json::from_str(&self.read(file)).unwrap();
        config.insert(field.to_owned(), value);
        self.write(file, &json!(config).to_string());
    }
}

fn llama() -> Vec<u8> {
    let mut tensors = Tensors::default();
    tensors.random("model.embed_tokens.weight", &[VOCABULARY, HIDDEN], 1.0);
    for layer in 0..LAYERS {
        let layer = format!("model.layers.{layer}");
        for (name, outputs, inputs) in [
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KEYS, HIDDEN),
            ("self_attn.v_proj", KEYS, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INNER, HIDDEN),
            ("mlp.up_proj", INNER, HIDDEN),
            ("mlp.down_proj", HIDDEN, INNER),
        ] {
            tensors.random(&format!("{layer}.{name}.weight"), &[outputs, inputs], 0.25);
        }
        for name in ["input_layernorm", "post_attention_layernorm"] {
            tensors.same(&format!("{layer}.{name}.weight"), 1.0, HIDDEN);
        }
    }
    tensors.same("model.norm.weight", 1.0, HIDDEN);
    tensors.random("lm_head.weight", &[VOCABULARY, HIDDEN], 0.5);
    tensors.file()
}

fn gpt2() -> Vec<u8> {
    let mut tensors = Tensors::default();
    tensors.random("transformer.wte.weight", &[VOCABULARY, HIDDEN], 0.5);
    tensors.random("transformer.wpe.weight", &[POSITIONS, HIDDEN], 0.5);
    for layer in 0..LAYERS {
        let layer = format!("transformer.h.{layer}");
        for (name, inputs, outputs) in [
            ("attn.c_attn", HIDDEN, 3 * HIDDEN),
            ("attn.c_proj", HIDDEN, HIDDEN),
            ("mlp.c_fc", HIDDEN, INNER),
            ("mlp.c_proj", INNER, HIDDEN),
        ] {
            tensors.random(&format!("{layer}.{name}.weight"), &[inputs, outputs], 0.25);
            tensors.same(&format!("{layer}.{name}.bias"), 0.0, outputs);
        }
        for name in ["ln_1", "ln_2"] {
            tensors.norm(&format!("{layer}.{name}"));
        }
    }
    tensors.norm("transformer.ln_f");
    tensors.file()
}

impl Tensors {
    /// Values between minus and plus `reach`, drawn from their number and the tensor's.
    fn random(&mut self, name: &str, shape: &[usize], reach: f32) {
        let tensor = self.0.len() as u64;
        let count: usize = shape.iter().product();
        let values = (0..count as u64).map(|index| {
            // SplitMix64 (Steele et al., 2014).
            let mut bits = (tensor << 32 | index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let unit = ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u32 << 24) as f32;
            (2.0 * unit - 1.0) * reach
        });
        let values = values.collect();
        self.0.push((name.to_owned(), shape.to_vec(), values));
    }

    fn same(&mut self, name: &str, value: f32, count: usize) {
        let values = vec![value; count];
        self.0.push((name.to_owned(), vec![count], values));
    }

    fn norm(&mut self, name: &str) {
        self.same(&format!("{name}.weight"), 1.0, HIDDEN);
        self.same(&format!("{name}.bias"), 0.0, HIDDEN);
    }

    fn file(self) -> Vec<u8> {
        let tensors = self.0.into_iter().map(|(name, shape, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (name, shape, bytes.collect::<Vec<u8>>())
        });
        let tensors: Vec<_> = tensors.collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }
}
