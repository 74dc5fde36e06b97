//! Models from scratch: a configuration and a tokenizer, and every weight drawn from the seed.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use rekindle_data::{TaskKind, TextTokenizer, special_ids};
use rekindle_nn::{LoadReport, Model, initialize_each, list};
use serde_json::{Map, Value, json};

use crate::base::Base;
use crate::error::Error;

/// The tokens whose ids a `config.json` holds, by their roles.
const IN_CONFIG: [&str; 3] = ["bos_token", "eos_token", "pad_token"];

/// A model cannot be made from scratch.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// It would have too few embeddings for its tokenizer.
    #[error(
        "the tokenizer's highest id is {highest}, and `vocab_size` in `{}` is {rows}",
        config.display()
    )]
    SmallVocabulary {
        /// The `config.json`.
        config: PathBuf,
        /// Highest id of the tokenizer.
        highest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// It has no tokenizer.
    #[error("no `tokenizer.json` beside `{}`, and `model.tokenizer` names none", config.display())]
    NoTokenizer {
        /// The `config.json`.
        config: PathBuf,
    },
    /// A tokenizer's file has a name under which nothing finds it.
    #[error("a tokenizer's file is called `tokenizer.json`: `{}`", path.display())]
    TokenizerName {
        /// The file.
        path: PathBuf,
    },
}

impl ScratchError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::SmallVocabulary { highest, .. } => {
                format!("set `vocab_size` in it to {}, or more", highest + 1)
            }
            Self::NoTokenizer { .. } => {
                "name one with `--set model.tokenizer=DIR`; `rekindle tokenizer train` makes one"
                    .to_owned()
            }
            Self::TokenizerName { .. } => "rename it, or give its folder".to_owned(),
        };
        Some(hint)
    }
}

impl Base {
    /// Reads the `config.json` and the `tokenizer.json` of a model that has no weights yet: files, or folders
    /// that hold them. Without a tokenizer, the configuration's folder must hold it.
    ///
    /// The ids of special tokens are what the tokenizer says they are, whatever the configuration says.
    pub fn from_config(config: &Path, tokenizer: Option<&Path>) -> Result<Self, Error> {
        let config = in_folder(config, "config.json");
        let folder = match tokenizer {
            Some(tokenizer) => folder_of_tokenizer(tokenizer)?,
            None => config.parent().unwrap_or(Path::new("")).to_owned(),
        };
        if tokenizer.is_none() && !folder.join("tokenizer.json").is_file() {
            return Err(ScratchError::NoTokenizer { config }.into());
        }
        let mut json = read_config(&config)?;
        let tokenizer = TextTokenizer::from_folder(&folder)?;
        let mut notes = vec!["from scratch: all weights are random at the start".to_owned()];
        for (name, id) in special_ids(&folder, &tokenizer)? {
            if IN_CONFIG.contains(&name) {
                notes.extend(settle(&mut json, name, id));
            }
        }
        let base = Self::assemble(&folder, config.clone(), json, tokenizer);
        let mut base = base.map_err(|error| match error {
            Error::Vocabulary { highest, rows } => {
                let small = ScratchError::SmallVocabulary {
                    config,
                    highest,
                    rows,
                };
                small.into()
            }
            error => error,
        })?;
        base.notes = notes;
        Ok(base)
    }

    /// Draws every weight of a model as transformers does, each from the seed and its name.
    pub(crate) fn draw<B: Backend, M: Model<B>>(
        &self,
        model: M,
        task: TaskKind,
        seed: u64,
    ) -> (M, LoadReport) {
        let names = self.architecture.names(task);
        let parameters = list::<B, M>(&model).into_iter();
        let report = LoadReport {
            fresh: parameters
                .map(|parameter| names.tensor_name(&parameter.path))
                .collect(),
            ..LoadReport::default()
        };
        let model = initialize_each::<B, M>(model, seed, |path| self.architecture.fresh(path));
        (model, report)
    }
}

/// Puts a special token's id into a configuration; told where it had another.
fn settle(json: &mut Map<String, Value>, name: &str, id: u32) -> Option<String> {
    let key = format!("{name}_id");
    let found = json.insert(key.clone(), json!(id));
    let found = found.filter(|found| !found.is_null() && *found != json!(id))?;
    Some(format!(
        "`{key}` is {id} as in the tokenizer, not {found} as in the configuration"
    ))
}

/// A file, or the one of a name in a folder.
fn in_folder(path: &Path, file: &str) -> PathBuf {
    if path.is_dir() {
        path.join(file)
    } else {
        path.to_owned()
    }
}

/// The folder of a tokenizer that is named by its folder or by its file.
fn folder_of_tokenizer(path: &Path) -> Result<PathBuf, ScratchError> {
    let is_file = path.is_file();
    if is_file && path.file_name().is_none_or(|name| name != "tokenizer.json") {
        return Err(ScratchError::TokenizerName {
            path: path.to_owned(),
        });
    }
    let folder = path.parent().filter(|_| is_file).unwrap_or(path);
    Ok(folder.to_owned())
}

fn read_config(path: &Path) -> Result<Map<String, Value>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Config {
        path: path.to_owned(),
        source: source.into(),
    })
}
