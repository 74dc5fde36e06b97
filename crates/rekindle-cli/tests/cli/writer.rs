//! A language model whose answers are known, as a folder.

use std::fs;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use crate::place::Place;

/// Tokens of the model: the characters of ASCII.
const VOCABULARY: usize = 128;

/// Tokens that the model reads.
const POSITIONS: usize = 64;

/// The model writes each of these characters after the one before it; a dot ends an answer.
const CIRCLE: &str = "abcdefgh";

impl Place {
    /// Writes a Llama in the folder `writer` that goes on with the alphabet in a circle of eight letters,
    /// after each `x` with a dot, which ends answers, and after a line with the letter a.
    pub(crate) fn writer(&self) {
        fs::create_dir(self.path("writer")).unwrap();
        let write = |file: &str, json: Value| {
            self.write(&format!("writer/{file}"), &json.to_string());
        };
        write(
            "config.json",
            json!({
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": VOCABULARY,
                "hidden_size": VOCABULARY,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "hidden_act": "silu",
                "max_position_embeddings": POSITIONS,
                "initializer_range": 0.02,
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                "attention_bias": false,
                "mlp_bias": false,
                "tie_word_embeddings": false,
            }),
        );
        write("tokenizer.json", tokenizer());
        write("tokenizer_config.json", json!({"eos_token": "."}));
        fs::write(self.path("writer/model.safetensors"), weights()).unwrap();
    }
}

fn tokenizer() -> Value {
    let vocabulary: Map<String, Value> = (0..VOCABULARY as u8)
        .map(|byte| (char::from(byte).to_string(), json!(byte)))
        .collect();
    let end = json!({
        "id": b'.', "content": ".", "special": true, "normalized": false,
        "lstrip": false, "rstrip": false, "single_word": false,
    });
    json!({
        "version": "1.0",
        "added_tokens": [end],
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        "decoder": {"type": "Fuse"},
    })
}

/// Blocks that add nothing, between an embedding that tells tokens apart and a head that is a table.
fn weights() -> Vec<u8> {
    let mut embedding = vec![0.0; VOCABULARY * VOCABULARY];
    let mut head = vec![0.0; VOCABULARY * VOCABULARY];
    for token in 0..VOCABULARY {
        embedding[token * VOCABULARY + token] = 1.0;
    }
    let letters = CIRCLE.bytes().zip(CIRCLE.bytes().cycle().skip(1));
    for (token, next) in letters.chain([(b'x', b'.'), (b'\n', b'a'), (b':', b'a')]) {
        head[usize::from(next) * VOCABULARY + usize::from(token)] = 1.0;
    }
    let zeros = |rows: usize, columns: usize| ([rows, columns].to_vec(), vec![0.0; rows * columns]);
    let ones = || (vec![VOCABULARY], vec![1.0; VOCABULARY]);
    let square = |values| (vec![VOCABULARY, VOCABULARY], values);
    let layer = "model.layers.0";
    let tensors: Vec<(String, (Vec<usize>, Vec<f32>))> = vec![
        ("model.embed_tokens.weight".into(), square(embedding)),
        (format!("{layer}.input_layernorm.weight"), ones()),
        (
            format!("{layer}.self_attn.q_proj.weight"),
            zeros(VOCABULARY, VOCABULARY),
        ),
        (
            format!("{layer}.self_attn.k_proj.weight"),
            zeros(VOCABULARY / 2, VOCABULARY),
        ),
        (
            format!("{layer}.self_attn.v_proj.weight"),
            zeros(VOCABULARY / 2, VOCABULARY),
        ),
        (
            format!("{layer}.self_attn.o_proj.weight"),
            zeros(VOCABULARY, VOCABULARY),
        ),
        (format!("{layer}.post_attention_layernorm.weight"), ones()),
        (
            format!("{layer}.mlp.gate_proj.weight"),
            zeros(8, VOCABULARY),
        ),
        (format!("{layer}.mlp.up_proj.weight"), zeros(8, VOCABULARY)),
        (
            format!("{layer}.mlp.down_proj.weight"),
            zeros(VOCABULARY, 8),
        ),
        ("model.norm.weight".into(), ones()),
        ("lm_head.weight".into(), square(head)),
    ];
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, values))| {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (name, shape, bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}
