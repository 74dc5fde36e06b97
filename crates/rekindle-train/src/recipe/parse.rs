//! Reading and checking a recipe.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rekindle_nn::LoraError;
use serde::de::{Deserialize, Deserializer, Error as _};
use toml::{Table, Value};

use super::{
    CheckpointRecipe, DataRecipe, DistillRecipe, MaskRecipe, MethodRecipe, ModelRecipe, Recipe,
    RunRecipe, TrainRecipe, keys, ranges,
};

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read recipe `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("recipe `{}` is not valid TOML: {}", path.display(), source.to_string().trim_end())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that no recipe has.
    #[error("unknown recipe key `{key}`")]
    UnknownKey {
        /// The key, with its table.
        key: String,
        /// The nearest known key.
        nearest: Option<String>,
        /// All keys of that table.
        known: Vec<String>,
    },
    /// A value of another type.
    #[error("recipe key `{key}` must be {expected}: {found}")]
    Type {
        /// The key, with its table.
        key: String,
        /// What is allowed.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A value outside its range.
    #[error("recipe key `{key}` must be {expected}: {found}")]
    Range {
        /// The key, with its table.
        key: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// Two keys that exclude each other.
    #[error("`train.learning_rate` and `train.learning_rate_multiplier` exclude each other")]
    TwoLearningRates,
    /// A key that the method has no use for.
    #[error("recipe key `{key}` is for `method.kind = \"lora\"` alone")]
    OnlyOfLora {
        /// The key, with its table.
        key: &'static str,
    },
    /// Targets that cannot be read.
    #[error("recipe key `method.targets` cannot be used")]
    Targets(#[from] LoraError),
    /// A base, and a configuration to make a model of.
    #[error("`model.base` and `model.config` are both set")]
    TwoModels,
    /// A tokenizer beside a base.
    #[error("recipe key `model.tokenizer` is for `model.config` alone")]
    OnlyOfScratch,
    /// A text to measure what a model from scratch forgets.
    #[error("`data.general` measures what a base forgets, and with `model.config` there is none")]
    NothingToForget,
    /// A method that leaves random weights as they are.
    #[error(
        "`method.kind = \"{method}\"` trains a part of a model, and with `model.config` all of it is random"
    )]
    RandomBody {
        /// The method.
        method: String,
    },
    /// A `key=value` pair without an equals sign.
    #[error("not of the form `key=value`: `{0}`")]
    Pair(String),
}

impl RecipeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownKey { known, .. } => Some(format!("known here: {}", known.join(", "))),
            Self::TwoLearningRates => {
                Some("the multiplier scales the method's default rate; give one of the two".into())
            }
            Self::OnlyOfLora { .. } => Some("add `--method lora`, or leave the key out".into()),
            Self::TwoModels
            | Self::OnlyOfScratch
            | Self::NothingToForget
            | Self::RandomBody { .. } => self.hint_of_scratch(),
            Self::Targets(source) => source.hint(),
            Self::Pair(_) => Some("for example `--set train.warmup=100`".into()),
            Self::Read { path, source } if source.kind() == ErrorKind::IsADirectory => {
                Some(format!(
                    "give the file in it: `{}`",
                    path.join("recipe.toml").display()
                ))
            }
            Self::Read { .. } => {
                Some("give the path of a TOML file, or none for the defaults".into())
            }
            Self::Type { key, .. } if !key.contains('.') => {
                Some(format!("write `[{key}]`, and below it `key = value`"))
            }
            Self::Type { key, .. } => default_hint(key),
            Self::Range { key, .. } => default_hint(key),
            Self::Syntax { .. } => Some("write `[table]`, and below it `key = value`".into()),
        }
    }
}

/// The value that a key has when it is left out.
fn default_hint(key: &str) -> Option<String> {
    let (section, key) = key.split_once('.')?;
    let defaults = Table::try_from(Recipe::default()).ok()?;
    let default = defaults.get(section)?.get(key);
    Some(match default {
        Some(value) => format!("the default is `{value}`"),
        None => "leave it out for the default".to_owned(),
    })
}

/// Writes one `key=value` pair into a recipe's table; the value is TOML, or else taken as a string.
pub fn set(table: &mut Table, pair: &str) -> Result<(), RecipeError> {
    let (key, value) = pair
        .split_once('=')
        .ok_or_else(|| RecipeError::Pair(pair.to_owned()))?;
    let value = value.trim();
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
    let value = parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    insert(table, key.trim(), value);
    Ok(())
}

/// Reads a day: a date of TOML, or a text that spells one.
pub(super) fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.parse() {
        Ok(day) => Ok(Some(day)),
        Err(_) => Err(D::Error::custom("expected a day, such as 2026-11-25")),
    }
}

/// Puts a value under a dotted key, making tables on the way.
fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let entry = table
                .entry(head)
                .or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            if let Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

impl Recipe {
    /// Reads a recipe file as the table that [`Recipe::from_table`] takes.
    pub fn table(path: &Path) -> Result<Table, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        // A BOM is what some editors put before the text.
        text.trim_start_matches('\u{feff}')
            .parse()
            .map_err(|source| RecipeError::Syntax {
                path: path.to_owned(),
                source: Box::new(source),
            })
    }

    /// Reads a table, and checks keys, types and ranges.
    pub fn from_table(table: &Table) -> Result<Self, RecipeError> {
        check_keys(table)?;
        for (section, values) in table {
            check_types(section, values)?;
        }
        let mut recipe: Self = Value::Table(table.clone())
            .try_into()
            .map_err(|source| type_error("recipe", &Value::Table(table.clone()), &source))?;
        let has_rate = |key| {
            table
                .get("train")
                .and_then(|train| train.get(key))
                .is_some()
        };
        let is_scaled = recipe.train.learning_rate_multiplier != 1.0;
        if has_rate("learning_rate") && is_scaled {
            return Err(RecipeError::TwoLearningRates);
        }
        recipe.check_scratch(table)?;
        recipe.method.check_lora()?;
        ranges::check(&recipe)?;
        Ok(recipe)
    }
}

/// Keys of a section; `None` if there is no such section.
fn section_keys(section: &str) -> Option<&'static [&'static str]> {
    match section {
        "model" => Some(keys::of::<ModelRecipe>()),
        "method" => Some(keys::of::<MethodRecipe>()),
        "data" => Some(keys::of::<DataRecipe>()),
        "train" => Some(keys::of::<TrainRecipe>()),
        "mask" => Some(keys::of::<MaskRecipe>()),
        "distill" => Some(keys::of::<DistillRecipe>()),
        "checkpoint" => Some(keys::of::<CheckpointRecipe>()),
        "run" => Some(keys::of::<RunRecipe>()),
        _ => None,
    }
}

fn check_keys(table: &Table) -> Result<(), RecipeError> {
    let sections = keys::of::<Recipe>();
    let dotted = || {
        sections.iter().flat_map(|section| {
            section_keys(section)
                .unwrap_or_default()
                .iter()
                .map(move |key| format!("{section}.{key}"))
        })
    };
    for (section, value) in table {
        let Some(known) = section_keys(section) else {
            // A key without its table is a likely slip, too.
            let names = sections.iter().map(|&name| name.to_owned());
            return Err(RecipeError::UnknownKey {
                key: section.clone(),
                nearest: nearest(section, dotted().chain(names)),
                known: sections.iter().map(|&name| name.to_owned()).collect(),
            });
        };
        for key in value.as_table().into_iter().flat_map(Table::keys) {
            if !known.contains(&key.as_str()) {
                let key = format!("{section}.{key}");
                return Err(RecipeError::UnknownKey {
                    nearest: nearest(&key, dotted()),
                    key,
                    known: known.iter().map(|&name| name.to_owned()).collect(),
                });
            }
        }
    }
    Ok(())
}

/// The candidate whose last part is most like that of the key; of equal ones, one of the same table or
/// else the last one.
fn nearest(key: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    const LIKE: f64 = 0.8;
    const SAME_TABLE: f64 = 0.01;
    let split = |key: &str| match key.rsplit_once('.') {
        Some((table, name)) => (table.to_owned(), name.to_owned()),
        None => (String::new(), key.to_owned()),
    };
    let (table, name) = split(key);
    let likeness = |candidate: &str| {
        let (its_table, its_name) = split(candidate);
        let bonus = if its_table == table { SAME_TABLE } else { 0.0 };
        strsim::jaro_winkler(&name, &its_name) + bonus
    };
    candidates
        .map(|candidate| (likeness(&candidate), candidate))
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Reads each value alone, so that the error names its key.
fn check_types(section: &str, values: &Value) -> Result<(), RecipeError> {
    let Some(values) = values.as_table() else {
        return Err(RecipeError::Type {
            key: section.to_owned(),
            expected: "a table".to_owned(),
            found: values.to_string(),
        });
    };
    for (key, value) in values {
        let inner = Table::from_iter([(key.clone(), value.clone())]);
        let alone = Table::from_iter([(section.to_owned(), Value::Table(inner))]);
        Value::Table(alone)
            .try_into::<Recipe>()
            .map_err(|source| type_error(&format!("{section}.{key}"), value, &source))?;
    }
    Ok(())
}

/// Takes what was expected from serde's message; where it lies in our own table helps nobody.
fn type_error(key: &str, value: &Value, source: &toml::de::Error) -> RecipeError {
    let message = source.message();
    let expected = message
        .split_once("expected ")
        .map_or(message, |(_, expected)| expected);
    let expected = match expected {
        "usize" | "u64" => "a whole number, 0 or above",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "path string" => "a path",
        other => other,
    };
    RecipeError::Type {
        key: key.to_owned(),
        expected: expected.to_owned(),
        found: value.to_string(),
    }
}
