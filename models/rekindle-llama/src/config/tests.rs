//! Tests of reading a `config.json`.

use rekindle_nn::{ParameterPath, RotaryScaling};
use serde_json::json;

use super::*;

fn read(model_type: &str, extra: &Value) -> Result<LlamaConfig, ConfigError> {
    let mut json = json!({
        "model_type": model_type,
        "vocab_size": 48,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 64,
    });
    let fields = json.as_object_mut().unwrap();
    fields.extend(extra.as_object().unwrap().clone());
    LlamaConfig::from_json(fields)
}

#[test]
fn rope_is_read_in_the_spellings_of_all_versions() {
    let scaling = RotaryScaling::Linear { factor: 4.0 };
    let expected = Rotary::new(4, 5e5, scaling);
    for json in [
        json!({"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0}}),
        json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}}),
        json!({"rope_theta": 5e5,
               "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 4.0}}),
    ] {
        assert_eq!(read("llama", &json).unwrap().rotary, expected, "{json}");
    }
    let plain = Rotary::new(4, 10_000.0, RotaryScaling::None);
    for json in [json!({}), json!({"rope_scaling": null})] {
        assert_eq!(read("llama", &json).unwrap().rotary, plain, "{json}");
    }
}

#[test]
fn an_unknown_rope_is_named() {
    let json = json!({"rope_scaling": {"type": "yarn", "factor": 4.0}});
    assert_eq!(
        read("qwen2", &json).unwrap_err().to_string(),
        "`config.json` asks for `rope_type` = `yarn`, which is not supported; known: default, linear, llama3"
    );
    let json = json!({"rope_parameters": {"rope_type": "llama3", "factor": 4.0}});
    assert_eq!(
        read("llama", &json).unwrap_err().to_string(),
        "`config.json` lacks `low_freq_factor`, which its `llama3` needs"
    );
}

#[test]
fn windows_follow_each_variant_s_rules() {
    let windows = |model_type, json| read(model_type, &json).unwrap().windows;
    assert_eq!(windows("llama", json!({"sliding_window": 5})), [None; 3]);
    assert_eq!(
        windows("mistral", json!({"sliding_window": 5})),
        [Some(5); 3]
    );
    assert_eq!(
        windows("mistral", json!({"sliding_window": null})),
        [None; 3]
    );
    assert_eq!(windows("mistral", json!({})), [Some(4096); 3]);
    let off = json!({"sliding_window": 5, "max_window_layers": 1});
    assert_eq!(windows("qwen2", off), [None; 3]);
    let on = json!({"sliding_window": 5, "use_sliding_window": true, "max_window_layers": 1});
    assert_eq!(windows("qwen2", on), [None, Some(5), Some(5)]);
    let types = ["sliding_attention", "full_attention", "sliding_attention"];
    let listed = json!({"sliding_window": 5, "use_sliding_window": true, "layer_types": types});
    assert_eq!(windows("qwen3", listed), [Some(5), None, Some(5)]);
}

#[test]
fn what_is_not_built_is_refused() {
    let refused = |json| read("llama", &json).unwrap_err().to_string();
    assert_eq!(
        refused(json!({"hidden_act": "gelu"})),
        "`config.json` asks for `hidden_act` = `gelu`, which is not supported; known: silu"
    );
    assert_eq!(
        refused(json!({"num_key_value_heads": 3})),
        "`config.json` has 4 attention heads, which its 3 key heads do not divide"
    );
    assert!(matches!(
        LlamaConfig::from_json(json!({"model_type": "gpt2"}).as_object().unwrap()),
        Err(ConfigError::Architecture(_))
    ));
}

#[test]
fn biases_follow_each_variant_s_rules() {
    let biases = |model_type, json| {
        let config = read(model_type, &json).unwrap();
        [
            config.has_query_bias,
            config.has_output_bias,
            config.has_mlp_bias,
        ]
    };
    let all = || json!({"attention_bias": true, "mlp_bias": true});
    assert_eq!(biases("llama", all()), [true, true, true]);
    assert_eq!(biases("mistral", all()), [false, false, false]);
    assert_eq!(biases("qwen2", json!({})), [true, false, false]);
    assert_eq!(biases("qwen3", all()), [true, true, false]);
    assert_eq!(biases("qwen3", json!({})), [false, false, false]);
}

#[test]
fn the_padding_row_of_a_fresh_embedding_is_zero() {
    let path = |name: &str| ParameterPath {
        name: format!("model.{name}.weight"),
        layer: "Linear".to_owned(),
    };
    let zero = |json, name| read("llama", &json).unwrap().fresh(&path(name)).zero_row;
    assert_eq!(zero(json!({"pad_token_id": 3}), "embed_tokens"), Some(3));
    assert_eq!(
        zero(json!({"pad_token_id": 3}), "layers.0.mlp.up_proj"),
        None
    );
    // Older files say so that there is none.
    assert_eq!(zero(json!({"pad_token_id": -1}), "embed_tokens"), None);
    assert_eq!(zero(json!({}), "embed_tokens"), None);
}
