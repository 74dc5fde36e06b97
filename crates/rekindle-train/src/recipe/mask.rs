//! `[mask]`: how much of a text is hidden.

use rekindle_data::{MaskVocabulary, Masker};
use serde::{Deserialize, Serialize};

/// The part of the tokens that is hidden (Devlin et al., 2018).
const PROBABILITY: f64 = 0.15;

/// `[mask]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskRecipe {
    /// The part of the tokens that is hidden; 0.15 if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Whether words are hidden whole; false if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_word: Option<bool>,
}

impl MaskRecipe {
    /// The same with the defaults of what is omitted, so that a recipe tells all of it.
    #[must_use]
    pub fn resolved(self) -> Self {
        let Self {
            probability,
            whole_word,
        } = self;
        Self {
            probability: Some(probability.unwrap_or(PROBABILITY)),
            whole_word: Some(whole_word.unwrap_or_default()),
        }
    }

    /// Hides tokens of a vocabulary so.
    pub fn masker(self, vocabulary: MaskVocabulary) -> Masker {
        let Self {
            probability,
            whole_word,
        } = self;
        Masker {
            vocabulary,
            probability: probability.unwrap_or(PROBABILITY),
            whole_word: whole_word.unwrap_or_default(),
        }
    }

    /// Whether it says nothing.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
