//! A checkpoint of MiniLM's shape with random weights, and rows for it of an exact length.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

const LAYERS: usize = 6;
const HIDDEN: usize = 384;
const HEADS: usize = 12;
const INTERMEDIATE: usize = 1536;
const VOCABULARY: usize = 30522;
const POSITIONS: usize = 512;
const TOKEN_TYPES: usize = 2;

/// Ids of the special tokens, as in BERT's vocabularies.
const SPECIAL: [(usize, &str); 4] = [(0, "[PAD]"), (100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]")];

/// Ids below hold special and unused tokens.
const FIRST_WORD: u64 = 1000;

/// Writes `config.json`, `tokenizer.json` and `model.safetensors`.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    fs::write(folder.join("config.json"), config().to_string())?;
    fs::write(folder.join("tokenizer.json"), tokenizer().to_string())?;
    let mut noise = Noise(0);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes()
        .into_iter()
        .map(|(name, shape)| {
            let values = values(&name, shape.iter().product(), &mut noise);
            (name, shape, values)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<anyhow::Result<_>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(views, Some(metadata), &folder.join("model.safetensors"))
        .context("cannot write the random weights")
}

/// Writes `rows` rows of two classes, each of `tokens` tokens with `[CLS]` and `[SEP]`.
pub(super) fn write_rows(path: &Path, rows: usize, tokens: usize) -> anyhow::Result<()> {
    let mut noise = Noise(1);
    let rows = (0..rows).map(|row| {
        let words = (2..tokens).map(|_| {
            let id = FIRST_WORD + noise.next() % (VOCABULARY as u64 - FIRST_WORD);
            format!("w{id}")
        });
        let words: Vec<String> = words.collect();
        let label = ["negative", "positive"][row % 2];
        json!({"text": words.join(" "), "label": label}).to_string()
    });
    let rows: Vec<String> = rows.collect();
    Ok(fs::write(path, rows.join("\n"))?)
}

fn config() -> Value {
    json!({
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "model_type": "bert",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": 0,
        "type_vocab_size": TOKEN_TYPES,
        "vocab_size": VOCABULARY,
    })
}

/// A tokenizer to which each word `w1000`, `w1001`, … is one token.
fn tokenizer() -> Value {
    let special: HashMap<usize, &str> = SPECIAL.into_iter().collect();
    let word = |id| {
        special
            .get(&id)
            .map_or(format!("w{id}"), |&name| name.to_owned())
    };
    let vocabulary: serde_json::Map<String, Value> =
        (0..VOCABULARY).map(|id| (word(id), json!(id))).collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let token = |name: &str, kind: usize| json!({"SpecialToken": {"id": name, "type_id": kind}});
    let text = |name: &str, kind: usize| json!({"Sequence": {"id": name, "type_id": kind}});
    let single = [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)];
    let pair = [single.as_slice(), &[text("B", 1), token("[SEP]", 1)]].concat();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [102], "tokens": ["[SEP]"]},
            },
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    })
}

/// Names and shapes of a headless BERT's tensors.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = vec![
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![VOCABULARY, HIDDEN],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![POSITIONS, HIDDEN],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![TOKEN_TYPES, HIDDEN],
        ),
    ];
    let mut affine = |name: String, shape: Vec<usize>| {
        let outputs = shape[0];
        shapes.push((format!("{name}.weight"), shape));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    affine("embeddings.LayerNorm".to_owned(), vec![HIDDEN]);
    for layer in 0..LAYERS {
        let parts = [
            ("attention.self.query", vec![HIDDEN, HIDDEN]),
            ("attention.self.key", vec![HIDDEN, HIDDEN]),
            ("attention.self.value", vec![HIDDEN, HIDDEN]),
            ("attention.output.dense", vec![HIDDEN, HIDDEN]),
            ("attention.output.LayerNorm", vec![HIDDEN]),
            ("intermediate.dense", vec![INTERMEDIATE, HIDDEN]),
            ("output.dense", vec![HIDDEN, INTERMEDIATE]),
            ("output.LayerNorm", vec![HIDDEN]),
        ];
        for (part, shape) in parts {
            affine(format!("encoder.layer.{layer}.{part}"), shape);
        }
    }
    affine("pooler.dense".to_owned(), vec![HIDDEN, HIDDEN]);
    shapes
}

/// Initial values of a tensor, as little-endian F32: of BERT's variance, or those of a norm or a bias.
fn values(name: &str, count: usize, noise: &mut Noise) -> Vec<u8> {
    const HALF_WIDTH: f32 = 0.034_64; // of a uniform distribution with deviation 0.02
    let value = |noise: &mut Noise| match name.rsplit_once('.') {
        Some((_, "bias")) => 0.0,
        Some((layer, _)) if layer.ends_with("LayerNorm") => 1.0,
        _ => {
            let unit = (noise.next() >> 40) as f32 / (1_u64 << 24) as f32;
            HALF_WIDTH * (2.0 * unit - 1.0)
        }
    };
    (0..count)
        .flat_map(|_| value(noise).to_le_bytes())
        .collect()
}

/// The generator `SplitMix64`, with its state.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_has_the_parameters_of_minilm() {
        let parameters: usize = shapes()
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        // As transformers counts those of sentence-transformers/all-MiniLM-L6-v2.
        assert_eq!(parameters, 22_713_216);
    }

    #[test]
    fn a_row_has_the_asked_number_of_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        write_rows(&path, 3, 128).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let words = |row: &Value| row["text"].as_str().unwrap().split(' ').count();
        assert_eq!(rows.iter().map(words).collect::<Vec<_>>(), [126, 126, 126]);
        assert_ne!(rows[0]["text"], rows[2]["text"]);
    }

    #[test]
    fn random_values_have_the_deviation_of_the_config() {
        let bytes = values("pooler.dense.weight", 10_000, &mut Noise(0));
        let values: Vec<f32> = bytes
            .chunks(4)
            .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap()))
            .collect();
        let mean = values.iter().sum::<f32>() / 1e4;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
        assert!(
            mean.abs() < 1e-3 && (deviation - 0.02).abs() < 1e-3,
            "{mean} {deviation}"
        );
    }
}
