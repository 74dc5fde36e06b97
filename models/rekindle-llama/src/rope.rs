//! How a `config.json` writes its rotary embedding.

use rekindle_nn::RotaryScaling;
use serde::Deserialize;

use crate::ConfigError;

/// transformers' default.
const THETA: f64 = 10_000.0;

/// `rope_parameters` of transformers 5, `rope_scaling` of earlier versions.
#[derive(Deserialize)]
pub(crate) struct RopeJson {
    rope_type: Option<String>,
    /// An older spelling; some files have both.
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    partial_rotary_factor: Option<f64>,
}

/// The base of the frequencies, and how they are scaled.
pub(crate) fn read(
    rope: Option<&RopeJson>,
    theta: Option<f64>,
    max_positions: usize,
) -> Result<(f64, RotaryScaling), ConfigError> {
    let Some(rope) = rope else {
        return Ok((theta.unwrap_or(THETA), RotaryScaling::None));
    };
    if let Some(part) = rope.partial_rotary_factor.filter(|&part| part != 1.0) {
        return Err(ConfigError::Unsupported {
            field: "partial_rotary_factor",
            value: part.to_string(),
            known: "1",
        });
    }
    let kind = rope.rope_type.as_deref().or(rope.old_type.as_deref());
    let kind = kind.unwrap_or("default");
    let need = |field, value: Option<f64>| {
        value.ok_or_else(|| ConfigError::Missing {
            field,
            of: kind.to_owned(),
        })
    };
    let scaling = match kind {
        "default" => RotaryScaling::None,
        "linear" => RotaryScaling::Linear {
            factor: need("factor", rope.factor)?,
        },
        "llama3" => RotaryScaling::Llama3 {
            factor: need("factor", rope.factor)?,
            low: need("low_freq_factor", rope.low_freq_factor)?,
            high: need("high_freq_factor", rope.high_freq_factor)?,
            original_length: rope
                .original_max_position_embeddings
                .unwrap_or(max_positions as f64),
        },
        other => {
            return Err(ConfigError::Unsupported {
                field: "rope_type",
                value: other.to_owned(),
                known: "default, linear, llama3",
            });
        }
    };
    Ok((rope.rope_theta.or(theta).unwrap_or(THETA), scaling))
}
