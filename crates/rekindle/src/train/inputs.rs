//! What a run is made from, as hashes: a run goes on only from what it began with.

use serde::{Deserialize, Serialize};

use super::Prepared;
use crate::error::Error;
use crate::hashes::{Hashes, hash, weights};

/// Hashes of the data files, by their paths, and of the base's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    pub(super) data: Hashes,
    pub(super) base: Hashes,
}

impl Inputs {
    pub(super) fn of(run: &Prepared) -> Result<Self, Error> {
        let base = &run.base;
        let mut hashes = if base.is_from_scratch() {
            Hashes::new()
        } else {
            weights(&base.folder)?
        };
        let tokenizer = base.folder.join("tokenizer.json");
        for (name, path) in [
            ("config.json", &base.config),
            ("tokenizer.json", &tokenizer),
        ] {
            hashes.insert(name.to_owned(), hash(path)?);
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
        if let Some(teacher) = &run.teacher {
            let named = |(name, hash)| (format!("teacher {name}"), hash);
            hashes.extend(weights(&teacher.base().folder)?.into_iter().map(named));
        }
        Ok(Self {
            data: run.data.clone(),
            base: hashes,
        })
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
