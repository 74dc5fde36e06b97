//! What a model's folder says of its special tokens and its chat template.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::RenderError;
use crate::TextTokenizer;

/// Roles of special tokens, by which templates name them.
const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A special token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Special {
    pub(super) text: String,
    pub(super) id: u32,
}

/// The files of a model's folder, as far as texts are concerned.
#[derive(Debug)]
pub(super) struct Settings {
    /// The special tokens by the name of their role.
    pub(super) named: Vec<(&'static str, Special)>,
    /// All tokens that end a text, the tokenizer's own first.
    pub(super) ends: Vec<u32>,
    /// Whether a text begins with the beginning-of-sequence token, where the configuration says so.
    pub(super) adds_bos: Option<bool>,
    /// The chat template and the file that holds it.
    pub(super) template: Option<(PathBuf, String)>,
}

impl Settings {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja` and
    /// `generation_config.json`, as far as they exist; the model's `config.json` is given.
    pub(super) fn read(
        folder: &Path,
        tokenizer: &Tokenizer,
        model: &Map<String, Value>,
    ) -> Result<Self, RenderError> {
        let path = folder.join("tokenizer_config.json");
        let config = object(&path)?;
        let map = object(&folder.join("special_tokens_map.json"))?;
        let generation = object(&folder.join("generation_config.json"))?;
        let mut named = Vec::new();
        for name in NAMED {
            if let Some(text) = text_of(config.get(name)).or_else(|| text_of(map.get(name))) {
                let id = tokenizer
                    .token_to_id(&text)
                    .ok_or_else(|| RenderError::UnknownToken {
                        path: path.clone(),
                        token: text.clone(),
                    });
                // Only these are written; a checkpoint may well name a mask that it never uses.
                match id {
                    Err(error) if name == "bos_token" || name == "eos_token" => return Err(error),
                    Err(_) => {}
                    Ok(id) => named.push((name, Special { text, id })),
                }
            // A name that is given as null means that there is no such token.
            } else if (name == "eos_token" || !config.contains_key(name))
                && let Some(id) = ids_of(&generation, model, name).first()
                && let Some(text) = tokenizer.id_to_token(*id)
            {
                named.push((name, Special { text, id: *id }));
            }
        }
        let mut ends: Vec<u32> = Vec::new();
        let own = named.iter().find(|(name, _)| *name == "eos_token");
        let own = own.map(|(_, token)| token.id);
        for id in own
            .into_iter()
            .chain(ids_of(&generation, model, "eos_token"))
        {
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        if ends.is_empty() {
            let folder = folder.to_owned();
            return Err(RenderError::NoEnd { folder });
        }
        Ok(Self {
            named,
            ends,
            adds_bos: config.get("add_bos_token").and_then(Value::as_bool),
            template: template(folder, &path, &config)?,
        })
    }

    /// The special token of a role.
    pub(super) fn special(&self, name: &str) -> Option<&Special> {
        let found = self.named.iter().find(|(other, _)| *other == name);
        found.map(|(_, token)| token)
    }
}

/// The ids of the special tokens that the files beside a `tokenizer.json` name, by their roles.
pub fn special_ids(
    folder: &Path,
    tokenizer: &TextTokenizer,
) -> Result<Vec<(&'static str, u32)>, RenderError> {
    let config = object(&folder.join("tokenizer_config.json"))?;
    let map = object(&folder.join("special_tokens_map.json"))?;
    let id = |name: &str| {
        let text = text_of(config.get(name)).or_else(|| text_of(map.get(name)))?;
        tokenizer.inner().token_to_id(&text)
    };
    let found = NAMED.into_iter().filter_map(|name| Some((name, id(name)?)));
    Ok(found.collect())
}

/// The ids that `generation_config.json` and `config.json` give for a role, as `eos_token_id`.
fn ids_of(generation: &Map<String, Value>, model: &Map<String, Value>, name: &str) -> Vec<u32> {
    let key = format!("{name}_id");
    let ids = |config: &Map<String, Value>| match config.get(&key) {
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_u64).collect(),
        Some(id) => id.as_u64().into_iter().collect(),
        None => Vec::new(),
    };
    let ids = ids(generation).into_iter().chain(ids(model));
    ids.filter_map(|id| u32::try_from(id).ok()).collect()
}

/// A token as text, or as an object that holds it as `content`.
fn text_of(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Object(token) => token.get("content")?.as_str()?,
        other => other.as_str()?,
    };
    (!text.is_empty()).then(|| text.to_owned())
}

/// The chat template: `chat_template.jinja`, else that of the configuration, the one named `default`
/// if there are several.
fn template(
    folder: &Path,
    config_path: &Path,
    config: &Map<String, Value>,
) -> Result<Option<(PathBuf, String)>, RenderError> {
    let path = folder.join("chat_template.jinja");
    if let Some(text) = file(&path)? {
        return Ok(Some((path, text)));
    }
    let text = match config.get("chat_template") {
        Some(Value::Array(named)) => {
            let is_default = |entry: &&Value| entry["name"] == "default";
            let entry = named.iter().find(is_default);
            entry.and_then(|entry| entry["template"].as_str())
        }
        other => other.and_then(Value::as_str),
    };
    Ok(text.map(|text| (config_path.to_owned(), text.to_owned())))
}

/// The object in a JSON file; empty without the file.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>, RenderError> {
    let Some(text) = file(path)? else {
        return Ok(Map::new());
    };
    serde_json::from_str(&text).map_err(|source| RenderError::Parse {
        path: path.to_owned(),
        source,
    })
}

/// The text of a file, if there is one.
fn file(path: &Path) -> Result<Option<String>, RenderError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RenderError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
