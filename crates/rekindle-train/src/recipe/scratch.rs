//! Models from scratch: what a recipe may say of them.

use toml::Table;

use super::{MethodKind, ModelRecipe, Recipe, RecipeError};

impl Recipe {
    /// Refuses a recipe that names two models, or that would leave random weights as they are; a model from
    /// scratch has no base.
    pub(super) fn check_scratch(&mut self, table: &Table) -> Result<(), RecipeError> {
        let model = table.get("model");
        if self.model.config.is_none() {
            return match self.model.tokenizer {
                Some(_) => Err(RecipeError::OnlyOfScratch),
                None => Ok(()),
            };
        }
        if model.and_then(|model| model.get("base")).is_some() {
            return Err(RecipeError::TwoModels);
        }
        if self.data.general.is_some() {
            return Err(RecipeError::NothingToForget);
        }
        self.model.base.clear();
        let method = match self.method.kind {
            MethodKind::Full => return Ok(()),
            MethodKind::Head => "head",
            MethodKind::LastLayers => "last-layers",
            MethodKind::Lora => "lora",
        };
        Err(RecipeError::RandomBody {
            method: method.to_owned(),
        })
    }
}

impl ModelRecipe {
    /// What the run starts from, as the recipe names it: the base or the configuration.
    pub fn source(&self) -> String {
        match &self.config {
            Some(config) => config.display().to_string(),
            None => self.base.clone(),
        }
    }
}

impl RecipeError {
    /// What to do about a model from scratch.
    pub(super) fn hint_of_scratch(&self) -> Option<String> {
        let hint = match self {
            Self::TwoModels => {
                "`base` is a model to start from (`--model`), `config` makes one with random weights; give one of the two"
            }
            Self::OnlyOfScratch => {
                "a base has its own tokenizer; leave the key out, or give `model.config` in place of the base"
            }
            Self::NothingToForget => {
                "leave the key out; `data.valid` takes a file to judge the model by"
            }
            Self::RandomBody { .. } => {
                "leave the method out: frozen random weights teach nothing, so all of them must learn"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
