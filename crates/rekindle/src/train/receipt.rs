//! What a run was made of: versions, device, seeds and hashes.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rekindle_train::events::Finish;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Prepared;
use crate::error::Error;

/// The version of Burn that this is built on; `Cargo.toml` pins it.
const BURN: &str = "0.21.0";

/// Writes `receipt.json`.
pub(super) fn write(run: &Prepared, finish: &Finish) -> Result<(), Error> {
    let Prepared {
        recipe,
        backend,
        folder,
        base,
        train,
        valid,
        objective,
        ..
    } = run;
    let mut data = Map::new();
    for path in recipe.data.train.iter().chain(&recipe.data.valid) {
        data.insert(path.display().to_string(), json!(hash(path)?));
    }
    let receipt = json!({
        "rekindle": env!("CARGO_PKG_VERSION"),
        "burn": BURN,
        "backend": backend.found.backend,
        "device": backend.found.device,
        "seed": recipe.train.seed,
        "task": objective.task(),
        "labels": objective.labels().names(),
        "train_rows": train.len(),
        "valid_rows": valid.len(),
        "data": data,
        "base": weights(&base.folder)?,
        "model": weights(&folder.model())?,
        "finish": finish,
    });
    let text = serde_json::to_string_pretty(&receipt).expect("a JSON value has a text");
    folder.write("receipt.json", format!("{text}\n").as_bytes())
}

/// Hashes of the weight files of a model folder.
fn weights(folder: &Path) -> Result<Value, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut hashes = Map::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            hashes.insert(name, json!(hash(&path)?));
        }
    }
    Ok(Value::Object(hashes))
}

/// SHA-256 of a file, in hexadecimal digits.
fn hash(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf().map_err(failed)?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        hasher.update(bytes);
        file.consume(length);
    }
    let mut digits = String::new();
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}
