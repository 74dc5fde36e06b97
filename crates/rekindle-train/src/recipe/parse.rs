//! Reading and checking a recipe.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{
    CheckpointRecipe, DataRecipe, MethodRecipe, ModelRecipe, Recipe, RunRecipe, TrainRecipe, keys,
    ranges,
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
    #[error("recipe `{}` is not valid TOML: {source}", path.display())]
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
    #[error("recipe key `{key}` cannot be `{value}`: {source}")]
    Type {
        /// The key, with its table.
        key: String,
        /// The value found.
        value: String,
        /// What was expected.
        source: Box<toml::de::Error>,
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
            Self::Pair(_) => Some("for example `--set train.warmup=100`".into()),
            Self::Read { .. } => {
                Some("give the path of a TOML file, or none for the defaults".into())
            }
            Self::Syntax { .. } | Self::Type { .. } | Self::Range { .. } => None,
        }
    }
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
        let recipe: Self = Value::Table(table.clone())
            .try_into()
            .map_err(|source| type_error("recipe", &Value::Table(table.clone()), source))?;
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
            // A key without its table is the likeliest slip.
            let exact = dotted().find(|key| key.split('.').nth(1) == Some(section));
            let near = || nearest(section, sections.iter().map(|&name| name.to_owned()));
            return Err(RecipeError::UnknownKey {
                key: section.clone(),
                nearest: exact.or_else(near),
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

fn nearest(key: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(key, &candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Reads each value alone, so that the error names its key.
fn check_types(section: &str, values: &Value) -> Result<(), RecipeError> {
    let Some(values) = values.as_table() else {
        let source = toml::from_str::<Recipe>(&format!("{section} = 1")).err();
        return source.map_or(Ok(()), |source| Err(type_error(section, values, source)));
    };
    for (key, value) in values {
        let inner = Table::from_iter([(key.clone(), value.clone())]);
        let alone = Table::from_iter([(section.to_owned(), Value::Table(inner))]);
        Value::Table(alone)
            .try_into::<Recipe>()
            .map_err(|source| type_error(&format!("{section}.{key}"), value, source))?;
    }
    Ok(())
}

fn type_error(key: &str, value: &Value, source: toml::de::Error) -> RecipeError {
    RecipeError::Type {
        key: key.to_owned(),
        value: value.to_string(),
        source: Box::new(source),
    }
}
