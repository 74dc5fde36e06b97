//! `cargo xtask bench`: times training with the release binary, and beside it torch and transformers.
//!
//! Four cases: steps of a model of `MiniLM`'s shape with random weights, SNIPS intents with real ones, answers
//! to many texts, and steps of a small decoder. Programs take turns, so that a busy moment of the machine hits both.

mod checkpoint;
mod decoder;
mod epoch;
mod predict;
mod report;
mod step;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program;
use report::Report;

/// Where the tables of the last complete measurement stand.
const DOCUMENT: &str = "docs/benchmarks.md";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of sentence-transformers/all-MiniLM-L6-v2; without it, no real model is trained
    #[arg(long, value_name = "DIR", requires = "snips")]
    model: Option<PathBuf>,
    /// Folder with SNIPS as `intent.train.jsonl` and `intent.valid.jsonl`
    #[arg(long, value_name = "DIR", requires = "model")]
    snips: Option<PathBuf>,
    /// Time a decoder too, whose random weights the Python below makes
    #[arg(long)]
    decoder: bool,
    /// Time torch and transformers too
    #[arg(long)]
    peers: bool,
    /// Python that has what `benches/peers/requirements.txt` lists
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Runs of each program [default: 5 of the steps, 3 of the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Steps that a run measures
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// A binary to time [default: the release build, brought up to date]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What every run needs.
struct Bench<'a> {
    root: &'a Path,
    options: &'a Options,
    rekindle: PathBuf,
    /// Threads of torch; rekindle takes as many by itself.
    threads: String,
    folder: TempDir,
}

/// Results of one case, one per run.
struct Runs<T> {
    ours: Vec<T>,
    peers: Vec<T>,
}

/// Measures, prints the table, and keeps it in the document if nothing was left out.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let bench = Bench {
        root,
        options,
        rekindle: program::rekindle(root, options.binary.as_deref())?,
        threads: std::thread::available_parallelism()?.to_string(),
        folder: tempfile::tempdir()?,
    };
    let steps = step::measure(&bench)?;
    let (mut epochs, mut answers) = (Vec::new(), None);
    if let (Some(model), Some(snips)) = (&options.model, &options.snips) {
        epochs = epoch::measure(&bench, model, snips)?;
        answers = Some(predict::measure(&bench, model, snips)?);
    }
    let decoders = if options.decoder {
        decoder::measure(&bench)?
    } else {
        Vec::new()
    };
    let mut report = Report::new(&bench, &steps)?;
    report.add_epochs(&epochs);
    report.add_answers(answers.as_ref());
    report.add_decoders(&decoders);
    let report = report.to_string();
    println!("{report}");
    if options.peers && options.decoder && answers.is_some() {
        let path = root.join(DOCUMENT);
        let context = || format!("`{}`", path.display());
        let text = fs::read_to_string(&path).with_context(context)?;
        let text = report::replace(&text, &report).with_context(context)?;
        fs::write(&path, text).with_context(context)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Training, silent; `--set` and the rest come from the case.
    fn train(&self, epochs: &str) -> Command {
        let mut command = Command::new(&self.rekindle);
        command.args([
            "train",
            "--backend",
            "flex",
            "--dashboard",
            "none",
            "--epochs",
            epochs,
        ]);
        command
    }

    /// Runs both programs in turns; each result is printed as it comes.
    fn alternate<T: Serialize>(
        &self,
        default_repeats: u16,
        ours: impl Fn() -> anyhow::Result<T>,
        peers: impl Fn() -> anyhow::Result<T>,
    ) -> anyhow::Result<Runs<T>> {
        let mut runs = Runs {
            ours: Vec::new(),
            peers: Vec::new(),
        };
        for _ in 0..self.options.repeats.unwrap_or(default_repeats) {
            let result = ours()?;
            eprintln!("{}", json!({"rekindle": result}));
            runs.ours.push(result);
            if self.options.peers {
                let result = peers()?;
                eprintln!("{}", json!({"torch": result}));
                runs.peers.push(result);
            }
        }
        Ok(runs)
    }
}

/// The events of one kind of a run folder.
fn events(run: &Path, kind: &str) -> anyhow::Result<Vec<Value>> {
    let events = program::read_lines(&run.join("events.jsonl"))?.into_iter();
    Ok(events.filter(|event| event["event"] == kind).collect())
}
