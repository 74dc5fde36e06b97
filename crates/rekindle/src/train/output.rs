//! The folder of a run.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rekindle_checkpoint::Store;
use rekindle_dashboard::{EventLog, MetricsCsv, Report, RunRecord, Tee};
use rekindle_data::TaskKind;
use rekindle_train::recipe::Recipe;
use rekindle_train::scores;

use crate::error::Error;

/// The resolved recipe.
const RECIPE: &str = "recipe.toml";
/// The events, one a line.
pub(super) const LOG: &str = "events.jsonl";
/// Losses and metrics by step.
const TABLE: &str = "metrics.csv";
/// The page with the curves.
const REPORT: &str = "report.html";

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
        let model = model_name(&recipe.model.source());
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
        if self.path.join(RECIPE).exists() {
            return Some("already holds a run");
        }
        // A process that was killed before it wrote the recipe leaves its lock.
        let is_foreign =
            |name: std::ffi::OsString| name != "run.lock" && name != ".recipe.toml.partial";
        match fs::read_dir(&self.path) {
            Ok(entries) => entries
                .flatten()
                .any(|entry| is_foreign(entry.file_name()))
                .then_some("is not empty"),
            Err(_) => self.path.exists().then_some("is not a folder"),
        }
    }

    /// Refuses a folder that holds something.
    pub(super) fn refuse_occupied(&self) -> Result<(), Error> {
        match self.occupant() {
            None => Ok(()),
            Some(what) => Err(Error::Occupied {
                path: self.path.clone(),
                what,
            }),
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

    /// The folder's checkpoints.
    pub(super) fn checkpoints(&self) -> Store {
        Store::new(self.path.join("checkpoints"))
    }

    /// A path as it reads from within the folder.
    pub(super) fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.path).unwrap_or(path);
        path.display().to_string()
    }

    /// Makes the folder.
    pub(super) fn create(&self) -> Result<(), Error> {
        fs::create_dir_all(&self.path).map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Writes the resolved recipe, unless the run has it.
    pub(super) fn write_recipe(&self, recipe: &Recipe) -> Result<(), Error> {
        if self.path.join(RECIPE).exists() {
            return Ok(());
        }
        let text = toml::to_string(recipe).expect("every field of a recipe has a TOML value");
        self.replace(RECIPE, text.as_bytes())
    }

    /// Writes one file of the run, so that it is there in full or as it was.
    pub(super) fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(file);
        let aside = self.path.join(format!(".{file}.partial"));
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        };
        write().map_err(|source| Error::Write { path, source })
    }

    /// The files that record the events; the log goes on where it ends, all else is made anew.
    pub(super) fn records(&self, task: TaskKind) -> Result<Tee<'static>, Error> {
        let open = |name: &str, options: &mut OpenOptions| {
            let path = self.path.join(name);
            options
                .create(true)
                .open(&path)
                .map_err(|source| Error::Write { path, source })
        };
        let log = open(LOG, OpenOptions::new().append(true))?;
        let table = open(TABLE, OpenOptions::new().write(true).truncate(true))?;
        let mut tee = Tee::default();
        tee.push(LOG, EventLog::new(log));
        tee.push(TABLE, MetricsCsv::new(table, scores::names(task)));
        let record = RunRecord::read(&self.path, true).map_err(Error::Record)?;
        tee.push(REPORT, Report::new(record, self.path.join(REPORT)));
        Ok(tee)
    }

    /// Waits until the log is on the disk.
    pub(super) fn sync_records(&self) -> std::io::Result<()> {
        File::open(self.path.join(LOG))?.sync_all()
    }
}

/// A short name of a model: the last part of its id, or of its path that is not just `model`.
fn model_name(base: &str) -> String {
    let mut parts = base
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "." | ".." | "model" | "config.json"));
    let name = parts.next_back().unwrap_or("model");
    let name = name.strip_suffix(".json").unwrap_or(name);
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
        assert_eq!(model_name("tiny/config.json"), "tiny");
        assert_eq!(model_name("configs/tiny.json"), "tiny");
        assert_eq!(model_name("config.json"), "model");
    }
}
