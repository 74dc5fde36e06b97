//! The folder of a run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rekindle_dashboard::{EventLog, MetricsCsv, Tee};
use rekindle_data::TaskKind;
use rekindle_train::recipe::Recipe;
use rekindle_train::scores;

use crate::error::Error;

/// Where a run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
}

impl RunFolder {
    /// Fills in the recipe's template, and refuses a folder that is taken; writes nothing.
    ///
    /// A taken name that came from a template gets a number.
    pub fn plan(recipe: &Recipe, task: TaskKind) -> Result<Self, Error> {
        let template = &recipe.run.output;
        let model = model_name(&recipe.model.base);
        let path = template
            .replace("{date}", &jiff::Zoned::now().date().to_string())
            .replace("{model}", &model)
            .replace("{task}", &task.to_string());
        let is_template = path != *template;
        let mut folder = Self {
            path: PathBuf::from(&path),
        };
        for number in 2.. {
            match folder.occupant() {
                None => break,
                Some(_) if is_template => folder.path = PathBuf::from(format!("{path}-{number}")),
                Some(what) => {
                    return Err(Error::Occupied {
                        path: folder.path,
                        what,
                    });
                }
            }
        }
        Ok(folder)
    }

    /// What makes the folder unusable; nothing if it is absent or empty.
    fn occupant(&self) -> Option<&'static str> {
        if self.path.join("recipe.toml").exists() {
            return Some("already holds a run");
        }
        match fs::read_dir(&self.path) {
            Ok(mut entries) => entries.next().map(|_| "is not empty"),
            Err(_) => self.path.exists().then_some("is not a folder"),
        }
    }

    /// The name of the run.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or(self.path.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// Where the model is saved.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Makes the folder and writes the resolved recipe into it.
    pub(super) fn create(&self, recipe: &Recipe) -> Result<(), Error> {
        let failed = |source| Error::Write {
            path: self.path.clone(),
            source,
        };
        fs::create_dir_all(&self.path).map_err(failed)?;
        let text = toml::to_string(recipe).expect("every field of a recipe has a TOML value");
        self.write("recipe.toml", text.as_bytes())
    }

    /// Writes one file of the run.
    pub(super) fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(file);
        fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
    }

    /// The files that record the events.
    pub(super) fn sinks(&self, task: TaskKind) -> Result<Tee<'static>, Error> {
        let open = |path: &Path| {
            File::create(path).map_err(|source| Error::Write {
                path: path.to_owned(),
                source,
            })
        };
        let (log, csv) = (
            self.path.join("events.jsonl"),
            self.path.join("metrics.csv"),
        );
        let mut tee = Tee::default();
        tee.push("events.jsonl", EventLog::new(open(&log)?));
        tee.push(
            "metrics.csv",
            MetricsCsv::new(open(&csv)?, scores::names(task)),
        );
        Ok(tee)
    }
}

/// A short name of a model: the last part of its id, or of its path that is not just `model`.
fn model_name(base: &str) -> String {
    let mut parts = base
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "." | ".." | "model"));
    let name = parts.next_back().unwrap_or("model");
    name.split('@').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_the_last_telling_part() {
        assert_eq!(model_name("org/name@main"), "name");
        assert_eq!(model_name("./runs/first/model/"), "first");
        assert_eq!(model_name("model"), "model");
    }
}
