//! `rekindle doctor --verify-resume`: kills a training run again and again, and compares what it comes to
//! with one that was let be.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::failure::FAILED;
use crate::progress::note;
use crate::restart::program;

/// Time between two looks at the run's folder.
const LOOK: Duration = Duration::from_micros(200);

/// When a run is to be killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// While a checkpoint is written.
    WithinCheckpoint,
    /// After so many steps and microseconds of the part.
    AfterSteps(usize, u64),
}

/// Where a kill hit a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    BeforeCheckpoint,
    WithinCheckpoint,
    Between,
}

/// Trains a recipe twice, once killed at random moments and resumed each time, and tells whether the losses
/// and the final weights are the same.
pub(crate) fn run(recipe: &Path, kills: usize) -> Result<ExitCode> {
    let recipe =
        fs::canonicalize(recipe).with_context(|| format!("cannot read `{}`", recipe.display()))?;
    let place = TempDir::new().context("cannot make a temporary folder")?;
    let whole = Run::new(&recipe, place.path().join("whole"));
    note("training without a stop");
    whole.start()?.finish()?;
    let parts = Run::new(&recipe, place.path().join("killed"));
    let mut hits = Vec::new();
    for moment in moments(kills) {
        let Some(hit) = parts
            .start()?
            .kill_at(moment, &parts.folder.join("checkpoints"))?
        else {
            break;
        };
        note(format_args!("killed {}", hit.told()));
        hits.push(hit);
    }
    parts.start()?.finish()?;
    let count = |wanted| hits.iter().filter(|hit| **hit == wanted).count();
    let mut out = io::stdout();
    writeln!(
        out,
        "killed {} times: {} before the first checkpoint, {} while one was written, {} in between",
        hits.len(),
        count(Hit::BeforeCheckpoint),
        count(Hit::WithinCheckpoint),
        count(Hit::Between),
    )?;
    if hits.len() < kills {
        writeln!(
            out,
            "the run ended before it could be killed {kills} times: give it more steps"
        )?;
        return Ok(ExitCode::from(FAILED));
    }
    compare(&whole, &parts, &mut out)
}

/// One kill after the first step, a third while a checkpoint is written, the others anywhere.
fn moments(kills: usize) -> impl Iterator<Item = Moment> {
    let random = |kill: usize, bound: u64| RandomState::new().hash_one(kill) % bound;
    (0..kills).map(move |kill| match kill {
        0 => Moment::AfterSteps(0, 0),
        kill if kill % 3 == 1 => Moment::WithinCheckpoint,
        kill => Moment::AfterSteps(random(kill, 5) as usize, random(kill, 20_000)),
    })
}

impl Hit {
    fn told(self) -> &'static str {
        match self {
            Self::BeforeCheckpoint => "before the first checkpoint",
            Self::WithinCheckpoint => "while a checkpoint was written",
            Self::Between => "between checkpoints",
        }
    }

    /// Where a run was killed, by what it left.
    fn of(checkpoints: &Path) -> Self {
        let names: Vec<_> = names(checkpoints).collect();
        if names.iter().any(|name| name.ends_with(".partial")) {
            Self::WithinCheckpoint
        } else if names.is_empty() {
            Self::BeforeCheckpoint
        } else {
            Self::Between
        }
    }
}

/// A training run in a folder of its own.
struct Run {
    recipe: PathBuf,
    folder: PathBuf,
}

/// A process that trains, and the steps that it has told.
struct Part {
    child: Child,
    steps: Arc<AtomicUsize>,
}

impl Run {
    fn new(recipe: &Path, folder: PathBuf) -> Self {
        Self {
            recipe: recipe.to_owned(),
            folder,
        }
    }

    /// Begins the run, or goes on with it.
    fn start(&self) -> Result<Part> {
        let mut command = Command::new(program()?);
        command
            .arg("train")
            .arg(&self.recipe)
            .arg("--output")
            .arg(&self.folder);
        command.args(["--dashboard", "json", "--resume"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the training")?;
        let pipe = child.stdout.take().context("the training has no output")?;
        let steps = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&steps);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if line.contains("\"event\":\"step\"") {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Part { child, steps })
    }

    /// Losses, gradient norms and learning rates of all steps, as they were written.
    fn steps(&self) -> Result<Vec<[Value; 4]>> {
        let path = self.folder.join("events.jsonl");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut steps = Vec::new();
        for line in text.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["event"] == "step" {
                steps.push(
                    ["step", "loss", "grad_norm", "learning_rate"].map(|key| event[key].clone()),
                );
            }
        }
        Ok(steps)
    }

    fn weights(&self) -> Result<Vec<u8>> {
        let path = self.folder.join("model/model.safetensors");
        fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
    }
}

impl Part {
    /// Waits for the end, which must be a good one.
    fn finish(mut self) -> Result<()> {
        let mut pipe = self
            .child
            .stderr
            .take()
            .context("the training has no error output")?;
        let told = io::read_to_string(&mut pipe)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the training failed ({status}):\n{told}");
        Ok(())
    }

    /// Waits for the moment and kills; nothing if the training ended before.
    fn kill_at(mut self, moment: Moment, checkpoints: &Path) -> Result<Option<Hit>> {
        let is_due = |steps: usize| match moment {
            Moment::WithinCheckpoint => Hit::of(checkpoints) == Hit::WithinCheckpoint,
            Moment::AfterSteps(goal, _) => steps > goal,
        };
        loop {
            let steps = self.steps.load(Ordering::Relaxed);
            // Before its first step a part may still find what a killed one left of a checkpoint.
            if steps > 0 && is_due(steps) {
                break;
            }
            if self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
        if let Moment::AfterSteps(_, micros) = moment {
            thread::sleep(Duration::from_micros(micros));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(Some(Hit::of(checkpoints)))
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Tells whether two runs came to the same.
fn compare(whole: &Run, parts: &Run, out: &mut impl Write) -> Result<ExitCode> {
    let (expected, found) = (whole.steps()?, parts.steps()?);
    let is_equal = whole.weights()? == parts.weights()?;
    if expected == found && is_equal {
        writeln!(
            out,
            "{} steps and the final weights are identical to those of a run that was not killed",
            expected.len()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let numbers = |steps: &[[Value; 4]]| {
        steps
            .iter()
            .map(|step| step[0].as_u64())
            .collect::<Vec<_>>()
    };
    if numbers(&expected) != numbers(&found) {
        writeln!(
            out,
            "the steps differ: {} and, killed, {}",
            expected.len(),
            found.len()
        )?;
        return Ok(ExitCode::from(FAILED));
    }
    let loss = |step: &[Value; 4]| step[1].as_f64().unwrap_or(f64::NAN);
    let pairs = expected.iter().zip(&found);
    let difference = pairs.map(|(expected, found)| (loss(found) / loss(expected) - 1.0).abs());
    let largest = difference.fold(0.0, f64::max);
    let weights = if is_equal { "are equal" } else { "differ" };
    writeln!(
        out,
        "losses differ by up to {largest:.1e} of their value; the final weights {weights}"
    )?;
    writeln!(
        out,
        "on `flex` both must be identical; a GPU adds up in no fixed order"
    )?;
    Ok(ExitCode::from(FAILED))
}
