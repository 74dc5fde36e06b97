//! What a run is made from, as hashes: a run goes on only from what it began with.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rekindle_train::recipe::Recipe;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::Base;
use crate::error::Error;

/// SHA-256 of files by their names.
pub(super) type Hashes = BTreeMap<String, String>;

/// Hashes of the data files, by their paths, and of the base's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    pub(super) data: Hashes,
    pub(super) base: Hashes,
}

impl Inputs {
    pub(super) fn of(recipe: &Recipe, base: &Base) -> Result<Self, Error> {
        let files = recipe.data.train.iter().chain(&recipe.data.valid);
        let data = files
            .map(|path| Ok((path.display().to_string(), hash(path)?)))
            .collect::<Result<_, Error>>()?;
        let mut hashes = weights(&base.folder)?;
        for name in ["config.json", "tokenizer.json"] {
            hashes.insert(name.to_owned(), hash(&base.folder.join(name))?);
        }
        // These decide how a prompt becomes tokens.
        let texts = [
            "tokenizer_config.json",
            "special_tokens_map.json",
            "chat_template.jinja",
            "generation_config.json",
        ];
        for name in texts.into_iter().filter(|_| base.renderer.is_some()) {
            let path = base.folder.join(name);
            if path.exists() {
                hashes.insert(name.to_owned(), hash(&path)?);
            }
        }
        if let Some(adapted) = &base.adapted {
            hashes.extend(weights(&adapted.folder)?);
            let config = "adapter_config.json";
            hashes.insert(config.to_owned(), hash(&adapted.folder.join(config))?);
        }
        Ok(Self { data, base: hashes })
    }

    /// Which files are not what they were, as lines of text.
    pub(super) fn differences(&self, saved: &Self) -> Vec<String> {
        let pairs = [(&self.data, &saved.data), (&self.base, &saved.base)];
        let mut lines = Vec::new();
        for (now, then) in pairs {
            let names: std::collections::BTreeSet<_> = now.keys().chain(then.keys()).collect();
            for name in names {
                let short = |hashes: &Hashes| {
                    let hash = hashes.get(name).map(|hash| &hash[..hash.len().min(12)]);
                    hash.map_or("absent".to_owned(), |hash| format!("sha256 {hash}…"))
                };
                if now.get(name) != then.get(name) {
                    lines.push(format!(
                        "{name}: {} in the run, {} now",
                        short(then),
                        short(now)
                    ));
                }
            }
        }
        lines
    }
}

/// Hashes of the weight files of a model folder.
pub(super) fn weights(folder: &Path) -> Result<Hashes, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut hashes = Hashes::new();
    // A run that was stopped early may have no model yet.
    if !folder.exists() {
        return Ok(hashes);
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".safetensors") {
            hashes.insert(name.into_owned(), hash(&path)?);
        }
    }
    Ok(hashes)
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
