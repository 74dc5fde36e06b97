//! The runs of a folder.

pub(crate) mod columns;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::format::{duration, moment, number};
use crate::record::{Best, EVENTS, RECIPE, ReadError, RunRecord, State};

/// A run in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Name of its folder.
    pub name: String,
    /// What it is doing, or how it ended.
    pub state: State,
    /// Task; empty where the log does not tell.
    pub task: String,
    /// Model that it started from; empty where the log does not tell.
    pub model: String,
    /// The number that it is judged by, once it was measured.
    pub best: Option<Best>,
    /// Steps taken.
    pub steps: usize,
    /// Steps planned, 0 where the log does not tell.
    pub planned: usize,
    /// Seconds that it took, or has taken so far.
    pub seconds: f64,
    /// When it began, or when its folder was last changed where the log does not tell.
    pub started: Option<Timestamp>,
}

/// Lists the runs in a folder, the newest first; `is_held` tells whether a living process holds one.
///
/// A folder that is not there holds no runs. Links are not followed.
pub fn list(folder: &Path, is_held: impl Fn(&Path) -> bool) -> Result<Vec<RunSummary>, ReadError> {
    let summary = |path: PathBuf| summary(&path, is_held(&path));
    let mut runs = folders(folder)?
        .into_iter()
        .map(summary)
        .collect::<Result<Vec<_>, _>>()?;
    runs.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.name.cmp(&b.name)));
    Ok(runs)
}

/// The run folders in a folder.
pub(crate) fn folders(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ReadError::of(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ReadError::of(folder))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_run(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a folder holds a recipe or events.
pub fn is_run(folder: &Path) -> bool {
    [RECIPE, EVENTS]
        .iter()
        .any(|name| folder.join(name).is_file())
}

fn summary(folder: &Path, is_held: bool) -> Result<RunSummary, ReadError> {
    let record = RunRecord::skim(folder, is_held)?;
    let changed = || {
        let time = fs::metadata(folder).and_then(|folder| folder.modified());
        Timestamp::try_from(time.ok()?).ok()
    };
    Ok(RunSummary {
        state: record.state(),
        best: record.best(),
        steps: record.steps_taken(),
        planned: record.start.steps,
        seconds: record.seconds(),
        started: record.started.or_else(changed),
        name: record.folder,
        task: record.start.task,
        model: record.start.model,
    })
}

impl RunSummary {
    /// Steps taken, and planned ones where there are more.
    pub(crate) fn progress(&self) -> String {
        if self.planned > self.steps {
            format!("{}/{}", self.steps, self.planned)
        } else {
            self.steps.to_string()
        }
    }
}

/// The list as aligned columns.
pub fn table(runs: &[RunSummary]) -> String {
    let header = [
        "run", "state", "task", "model", "best", "steps", "duration", "started",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(runs.iter().map(|run| {
        vec![
            run.name.clone(),
            run.state.to_string(),
            run.task.clone(),
            run.model.clone(),
            run.best.as_ref().map_or("–".to_owned(), best),
            run.progress(),
            duration(run.seconds),
            run.started.map_or("–".to_owned(), moment),
        ]
    }));
    columns::align(&rows)
}

/// The number that a run is judged by, with its name.
pub(crate) fn best(best: &Best) -> String {
    let last = if best.is_chosen { "" } else { " (last)" };
    format!("{} {}{last}", best.metric, number(Some(best.value)))
}
