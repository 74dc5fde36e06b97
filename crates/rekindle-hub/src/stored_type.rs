//! The types that weights are written in.

use std::fmt;

use half::{bf16, f16};
use safetensors::Dtype;

/// The type of weights in a file; they are computed with as they are loaded, in a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// Four bytes a number: what was trained, exactly.
    F32,
    /// Two bytes: eleven significant bits, up to 65,504.
    F16,
    /// Two bytes: eight significant bits, the range of f32.
    Bf16,
}

impl StoredType {
    /// Its name in `config.json`.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// A number as it comes back from the file.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Its name in a safetensors header.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Numbers as they stand in a file, rounded to the nearest; None if a finite one would not be so there.
    pub(crate) fn bytes(self, values: &[f32]) -> Option<Vec<u8>> {
        let holds = |value: &f32| !value.is_finite() || self.round(*value).is_finite();
        let bytes = || -> Vec<u8> {
            let values = values.iter();
            match self {
                Self::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
                Self::F16 => values
                    .flat_map(|value| f16::from_f32(*value).to_le_bytes())
                    .collect(),
                Self::Bf16 => values
                    .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
                    .collect(),
            }
        };
        values.iter().all(holds).then(bytes)
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}
