//! The `generation_config.json` of a model that was trained: it names every token that ends an answer, so
//! that transformers stops where training taught to stop.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rekindle_data::Renderer;
use serde_json::{Map, Value, json};

use crate::error::Error;

const FILE: &str = "generation_config.json";

/// The file of a folder with the renderer's end tokens in it; nothing where the folder's own has them.
pub(crate) fn with_ends(
    folder: &Path,
    renderer: &Renderer,
) -> Result<Option<Map<String, Value>>, Error> {
    let path = folder.join(FILE);
    let mut config: Map<String, Value> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Config {
            path,
            source: source.into(),
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let known = match config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.clone(),
        Some(id @ Value::Number(_)) => vec![id.clone()],
        _ => Vec::new(),
    };
    let ends: Vec<Value> = renderer.end_ids().iter().map(|id| json!(id)).collect();
    if ends.iter().all(|id| known.contains(id)) {
        return Ok(None);
    }
    let ends = match ends.as_slice() {
        [only] => only.clone(),
        _ => json!(ends),
    };
    config.insert("eos_token_id".to_owned(), ends);
    Ok(Some(config))
}
