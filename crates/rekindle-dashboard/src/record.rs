//! What is known of a run: its events folded into series, tables and a state.
//!
//! Reading is tolerant: logs of other versions and logs that a crash left torn tell what they can.

mod fold;
mod lines;
pub(crate) mod tail;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rekindle_train::events::{Event, Sample};
use rekindle_train::scores::LOSS;
use thiserror::Error;

pub(crate) use lines::{Checkpoint, Finish, Scores, Start, StepRecord};
use tail::{Change, Tail};

/// Name of the log in a run folder.
pub(crate) const EVENTS: &str = "events.jsonl";
/// Name of the resolved recipe in a run folder.
pub(crate) const RECIPE: &str = "recipe.toml";

/// Why a run cannot be shown.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file or folder that is there and cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without recipe and events.
    #[error("no run in `{path}`")]
    NotARun {
        /// Which.
        path: PathBuf,
    },
}

impl ReadError {
    pub(crate) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::NotARun { .. } => Some(format!(
                "a run folder holds `{RECIPE}` and `{EVENTS}`; `rekindle runs` lists those there are"
            )),
        }
    }
}

/// What a run is doing, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A living process holds it.
    Running,
    /// Its last planned step was taken.
    Finished,
    /// It ended before, since its numbers got no better.
    StoppedEarly,
    /// The user stopped it.
    Interrupted,
    /// Its process is gone without a word.
    Crashed,
    /// It said why it could not go on.
    Failed,
}

impl State {
    /// One word; a run that stopped early is a finished one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished | Self::StoppedEarly => "finished",
            Self::Interrupted => "interrupted",
            Self::Crashed => "crashed",
            Self::Failed => "failed",
        }
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A run, as far as its folder tells.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// Name of the folder.
    pub(crate) folder: String,
    /// Text of the resolved recipe.
    pub(crate) recipe: String,
    /// Whether a living process holds the run.
    pub(crate) is_held: bool,
    pub(crate) start: Start,
    pub(crate) started: Option<Timestamp>,
    pub(crate) updated: Option<Timestamp>,
    /// Seconds between the events, the time between the parts of a resumed run left out.
    pub(crate) elapsed: f64,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) evaluations: Vec<Scores>,
    pub(crate) epochs: Vec<Scores>,
    /// Answers at the newest evaluation.
    pub(crate) samples: Vec<Sample>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) warnings: Vec<String>,
    pub(crate) finish: Option<Finish>,
    pub(crate) failure: Option<String>,
    /// Lines that are no events.
    pub(crate) unreadable: usize,
}

/// The number that a run is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Its name.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Step after which it was measured.
    pub step: usize,
    /// False where the run keeps its last weights instead, and this is their number.
    pub is_chosen: bool,
}

impl RunRecord {
    /// A run of which nothing has happened yet.
    pub fn new(folder: impl Into<String>, recipe: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            recipe: recipe.into(),
            ..Self::default()
        }
    }

    /// Reads a run folder; `is_held` tells whether a living process holds it.
    pub fn read(folder: &Path, is_held: bool) -> Result<Self, ReadError> {
        let (mut record, lines) = Self::open(folder, is_held)?;
        record.push_lines(&lines);
        Ok(record)
    }

    /// Reads what a list shows: of the steps that follow each other only the last one.
    pub(crate) fn skim(folder: &Path, is_held: bool) -> Result<Self, ReadError> {
        let (mut record, lines) = Self::open(folder, is_held)?;
        record.skim_lines(&lines);
        Ok(record)
    }

    /// The record without events, and the whole lines of the log.
    fn open(folder: &Path, is_held: bool) -> Result<(Self, Vec<u8>), ReadError> {
        let mut record = Self::of_folder(folder, is_held)?;
        let events = folder.join(EVENTS);
        let lines = match Tail::new(&events).poll() {
            Ok(Change::Lines(lines)) => lines,
            Ok(Change::None | Change::Reset) => Vec::new(),
            Err(source) => return Err(ReadError::of(&events)(source)),
        };
        if record.recipe.is_empty() && !events.exists() {
            return Err(ReadError::NotARun {
                path: folder.to_owned(),
            });
        }
        record.is_held = is_held;
        Ok((record, lines))
    }

    /// The record of a folder without its events.
    pub(crate) fn of_folder(folder: &Path, is_held: bool) -> Result<Self, ReadError> {
        let path = folder.join(RECIPE);
        let recipe = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ReadError::of(&path)(error)),
        };
        let name = folder.file_name().map(|name| name.to_string_lossy());
        let mut record = Self::new(name.unwrap_or_default(), recipe);
        record.is_held = is_held;
        Ok(record)
    }

    /// Takes an event that happens now.
    pub fn push(&mut self, event: &Event) {
        self.push_at(event, Timestamp::now());
    }

    /// Name of the run.
    pub fn name(&self) -> &str {
        if self.start.run.is_empty() {
            &self.folder
        } else {
            &self.start.run
        }
    }

    /// What it is doing, or how it ended.
    pub fn state(&self) -> State {
        match (&self.failure, &self.finish) {
            (Some(_), _) => State::Failed,
            (None, Some(finish)) => finish.state(),
            (None, None) if self.is_held => State::Running,
            (None, None) => State::Crashed,
        }
    }

    /// The number that the run is judged by, once it was measured.
    pub fn best(&self) -> Option<Best> {
        let finished = self.finish.as_ref();
        let chosen = finished
            .and_then(|finish| finish.metric.clone())
            .or_else(|| self.start.metric.clone());
        let scores = self.best_scores()?;
        let is_chosen = chosen.is_some();
        let metric = match chosen {
            Some(metric) => metric,
            None => scores.metrics.keys().next()?.clone(),
        };
        Some(Best {
            value: scores.number(&metric)?,
            metric,
            step: scores.step,
            is_chosen,
        })
    }

    /// The evaluation of the best weights, or the last one where none is the best.
    pub(crate) fn best_scores(&self) -> Option<&Scores> {
        let best = |scores: &&Scores| scores.is_best;
        let evaluations = &self.evaluations;
        evaluations.iter().rfind(best).or(evaluations.last())
    }

    /// The evaluation whose tables are shown: of the best weights, else the last one that has some.
    pub(crate) fn detailed(&self) -> Option<&Scores> {
        let has_details = |scores: &&Scores| !scores.details.is_empty();
        let best = self.best_scores().filter(has_details);
        best.or_else(|| self.evaluations.iter().rfind(has_details))
    }

    /// Whether no more events are to be expected.
    pub(crate) fn is_over(&self) -> bool {
        self.state() != State::Running
    }

    /// Tokens in a second and seconds of the first step, as far as they are known.
    pub(crate) fn speed(&self) -> (Option<f64>, Option<f64>) {
        let finish = self.finish.as_ref();
        let finished = finish.and_then(|finish| finish.tokens_per_second);
        let last = || self.steps.last()?.tokens_per_second;
        (
            finished.or_else(last),
            finish.and_then(|finish| finish.first_step_seconds),
        )
    }

    /// Steps taken, those that were left out included.
    pub(crate) fn steps_taken(&self) -> usize {
        let finished = self.finish.as_ref().map_or(0, |finish| finish.steps);
        self.steps.last().map_or(0, |step| step.step).max(finished)
    }

    /// Seconds that it took, or has taken so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.finish
            .as_ref()
            .and_then(|finish| finish.seconds)
            .unwrap_or(self.elapsed)
    }

    /// Seconds that a running run will still take, if it goes on as it did.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let taken = self.steps_taken();
        let left = self.start.steps.checked_sub(taken)?;
        (self.state() == State::Running && taken > 0)
            .then(|| self.elapsed / taken as f64 * left as f64)
    }

    /// The last known training loss of an epoch or of an evaluation, and validation loss.
    pub(crate) fn last_losses(&self) -> (Option<f64>, Option<f64>) {
        let scores = || {
            self.epochs
                .iter()
                .rev()
                .chain(self.evaluations.iter().rev())
        };
        let train = scores().find_map(|scores| scores.train_loss);
        let valid = self.evaluations.iter().rev().find_map(|e| e.valid_loss);
        (
            train.or_else(|| self.steps.last().and_then(|step| step.loss)),
            valid,
        )
    }

    /// The recipe as dotted keys and values; none of a recipe that is no TOML.
    pub(crate) fn recipe_values(&self) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        if let Ok(table) = self.recipe.parse::<toml::Table>() {
            flatten("", &table, &mut values);
        }
        values
    }
}

impl Scores {
    /// The number of a name, the validation loss included.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        if name == LOSS {
            self.valid_loss
        } else {
            self.metrics.get(name)?.as_f64()
        }
    }
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(table) => flatten(&key, table, values),
            toml::Value::String(text) => _ = values.insert(key, text.clone()),
            value => _ = values.insert(key, value.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
