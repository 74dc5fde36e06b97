//! The keys of `[method]` that only `lora` has.

use std::fmt;

use rekindle_nn::{LoraError, Targets};
use serde::{Deserialize, Serialize};

use super::{MethodKind, MethodRecipe, RecipeError};

/// The keys of `lora`, each with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraRecipe {
    /// Rank of the adapters.
    pub rank: usize,
    /// Their scale, which the rank divides.
    pub alpha: f64,
    /// Dropout before them.
    pub dropout: f64,
    /// The layers that get one.
    pub targets: TargetsRecipe,
    /// Whether the root of the rank divides the scale.
    pub rslora: bool,
    /// Modules that are trained in full.
    pub modules_to_save: Vec<String>,
}

/// `method.targets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`\"all-linear\"`, a pattern, or a list of module names"
)]
pub enum TargetsRecipe {
    /// `all-linear`, or a regular expression for whole names.
    Text(String),
    /// Names, or ends of names.
    Names(Vec<String>),
}

impl fmt::Display for TargetsRecipe {
    /// As a recipe spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Names(names) => write!(f, "{names:?}"),
        }
    }
}

impl Default for LoraRecipe {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.05,
            targets: TargetsRecipe::Text("all-linear".to_owned()),
            rslora: false,
            modules_to_save: Vec::new(),
        }
    }
}

impl TargetsRecipe {
    /// The choice that it stands for.
    pub fn parse(&self) -> Result<Targets, LoraError> {
        match self {
            Self::Text(text) => Targets::from_text(text),
            Self::Names(names) => Ok(Targets::Names(names.clone())),
        }
    }
}

impl MethodRecipe {
    /// The keys of `lora`, with the defaults of those that are omitted.
    pub fn lora(&self) -> LoraRecipe {
        let default = LoraRecipe::default();
        LoraRecipe {
            rank: self.rank.unwrap_or(default.rank),
            alpha: self.alpha.unwrap_or(default.alpha),
            dropout: self.dropout.unwrap_or(default.dropout),
            targets: self.targets.clone().unwrap_or(default.targets),
            rslora: self.rslora.unwrap_or(default.rslora),
            modules_to_save: self.modules_to_save.clone().unwrap_or_default(),
        }
    }

    /// Writes the keys of `lora`, so that a recipe tells all of them.
    pub fn set_lora(&mut self, lora: LoraRecipe) {
        let LoraRecipe {
            rank,
            alpha,
            dropout,
            targets,
            rslora,
            modules_to_save,
        } = lora;
        self.rank = Some(rank);
        self.alpha = Some(alpha);
        self.dropout = Some(dropout);
        self.targets = Some(targets);
        self.rslora = Some(rslora);
        self.modules_to_save = Some(modules_to_save);
    }

    /// Refuses keys of `lora` beside another method, and targets that are no pattern.
    pub(super) fn check_lora(&self) -> Result<(), RecipeError> {
        if self.kind == MethodKind::Lora {
            self.lora().targets.parse()?;
            return Ok(());
        }
        let keys = [
            ("method.rank", self.rank.is_some()),
            ("method.alpha", self.alpha.is_some()),
            ("method.dropout", self.dropout.is_some()),
            ("method.targets", self.targets.is_some()),
            ("method.rslora", self.rslora.is_some()),
            ("method.modules_to_save", self.modules_to_save.is_some()),
        ];
        match keys.into_iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => Err(RecipeError::OnlyOfLora { key }),
            None => Ok(()),
        }
    }
}
