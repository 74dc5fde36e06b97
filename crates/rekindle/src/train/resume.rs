//! Going on with a run: which run is meant, whether it may go on, and the records up to its checkpoint.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rekindle_train::events::{End, Event, Finish};
use rekindle_train::recipe::Recipe;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::output::RunFolder;
use crate::error::Error;

/// The keys that may differ: the folder of the run is what the user named, and a run may go on elsewhere.
const FREE: [&str; 2] = ["run.output", "run.backend"];

impl RunFolder {
    /// The run that a user means: by an output of the command line, else by a run folder or a recipe in
    /// one, else by a recipe's own output.
    pub fn find(
        named: Option<&Path>,
        output: Option<&str>,
        recipe: &Recipe,
    ) -> Result<Self, Error> {
        let parent = |file: &Path| match file.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
            folder => folder.map(Path::to_owned),
        };
        let holds_run = |folder: &Path| folder.join("events.jsonl").exists();
        let path = match named.filter(|_| output.is_none()) {
            Some(folder) if folder.is_dir() => folder.to_owned(),
            Some(file) if parent(file).is_some_and(|folder| holds_run(&folder)) => {
                parent(file).unwrap_or_default()
            }
            _ if recipe.run.output.contains('{') => {
                return Err(Error::WhichRun {
                    output: recipe.run.output.clone(),
                });
            }
            _ => recipe.run.output.clone().into(),
        };
        Ok(Self { path })
    }

    /// The day that the run's chats were written with.
    pub(super) fn date(&self) -> Option<Date> {
        let saved = Recipe::table(&self.path.join("recipe.toml")).ok()?;
        saved.get("data")?.get("date")?.as_str()?.parse().ok()
    }

    /// How the run ended, if nothing is left to do.
    pub(super) fn finished(&self) -> Option<Finish> {
        // The receipt is the last thing that a run writes.
        let text = fs::read_to_string(self.path.join("receipt.json")).ok()?;
        let mut receipt: Json = serde_json::from_str(&text).ok()?;
        let finish: Finish = serde_json::from_value(receipt.get_mut("finish")?.take()).ok()?;
        (finish.end != End::Interrupted).then_some(finish)
    }

    /// Refuses to go on with another recipe than the run's; a folder without anything is free.
    pub(super) fn check_recipe(&self, recipe: &Recipe) -> Result<(), Error> {
        let path = self.path.join("recipe.toml");
        if !path.exists() {
            return self.refuse_occupied();
        }
        let saved = Recipe::table(&path)?;
        let now = Table::try_from(recipe).expect("every field of a recipe has a TOML value");
        let (saved, now) = (flat(&saved), flat(&now));
        let keys: BTreeSet<&String> = saved.iter().chain(&now).map(|(key, _)| key).collect();
        let value = |pairs: &[(String, String)], key: &String| {
            let found = pairs.iter().find(|(known, _)| known == key);
            found.map_or("unset".to_owned(), |(_, value)| value.clone())
        };
        let pairs = keys
            .into_iter()
            .map(|key| (key, value(&saved, key), value(&now, key)));
        let differences: Vec<String> = pairs
            .filter(|(key, then, now)| then != now && !FREE.contains(&key.as_str()))
            .map(|(key, then, now)| format!("{key}: {then} in the run, {now} now"))
            .collect();
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::OtherRecipe {
            path: self.path.clone(),
            differences,
        })
    }

    /// Cuts the log of events after those of a step, and returns what it still tells.
    ///
    /// What comes later was told by a part of the run that is forgotten; it will be told again.
    pub(super) fn cut_log(&self, step: usize) -> Result<Vec<Event>, Error> {
        let path = self.path.join("events.jsonl");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?,
        };
        let text = String::from_utf8_lossy(&text);
        // A line that a killed process left half-written is no event.
        let lines = text
            .lines()
            .map(|line| (line, serde_json::from_str(line).ok()));
        let mut lines: Vec<(&str, Option<Event>)> = lines.collect();
        let is_kept = |(_, event): &(&str, Option<Event>)| {
            event
                .as_ref()
                .and_then(step_of)
                .is_some_and(|of_event| of_event <= step)
        };
        let kept = lines.iter().rposition(is_kept).map_or(0, |last| last + 1);
        lines.truncate(if step == 0 { 0 } else { kept });
        let text = lines
            .iter()
            .fold(String::new(), |text, (line, _)| text + line + "\n");
        self.replace("events.jsonl", text.as_bytes())?;
        Ok(lines.into_iter().filter_map(|(_, event)| event).collect())
    }
}

/// The step that an event is about.
fn step_of(event: &Event) -> Option<usize> {
    match event {
        Event::Step(step) => Some(step.step),
        Event::Skip(skip) => Some(skip.step),
        Event::Evaluation(evaluation) | Event::Epoch(evaluation) => Some(evaluation.step),
        Event::Sample(sample) => Some(sample.step),
        Event::Checkpoint(checkpoint) => Some(checkpoint.step),
        Event::Start(_)
        | Event::Load(_)
        | Event::Resume(_)
        | Event::Split(_)
        | Event::Warning { .. }
        | Event::Failure { .. }
        | Event::Finish(_) => None,
    }
}

/// The values of a table of tables by their dotted keys.
fn flat(table: &Table) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(values) => pairs.extend(
                values
                    .iter()
                    .map(|(key, value)| (format!("{section}.{key}"), value.to_string())),
            ),
            value => pairs.push((section.clone(), value.to_string())),
        }
    }
    pairs
}
