//! `cargo xtask slow`: the proofs that need a real model, real data and transformers.

mod proof;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{program, snips};
use proof::{Proof, largest_difference};

/// What one epoch must reach, with room for the seed: transformers' Trainer gets 0.95 to 0.98.
const LEAST_ACCURACY: f64 = 0.90;

/// The largest difference of a logit between two implementations in F32.
const TOLERANCE: f64 = 1e-4;

/// Rows whose logits are compared.
const COMPARED_ROWS: usize = 32;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of sentence-transformers/all-MiniLM-L6-v2
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder with SNIPS: `intent.train.jsonl`, `intent.valid.jsonl`, `slots.train.jsonl`, `slots.valid.jsonl`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Python that has what `benches/peers/requirements.txt` lists
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Backend to prove
    #[arg(long, default_value = "flex")]
    backend: String,
    /// A binary to prove [default: the release build, brought up to date]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// One data set with the training that is proved on it.
struct Case {
    /// Name of the run.
    name: &'static str,
    /// Name of the data files, before `.train.jsonl` and `.valid.jsonl`.
    data: &'static str,
    /// What differs from the defaults.
    training: &'static [&'static str],
}

const INTENTS: Case = Case {
    name: "intent",
    data: "intent",
    training: &[
        "--epochs",
        "1",
        "--seed",
        "0",
        "--set",
        "data.batching=shuffled",
    ],
};

/// A few steps are enough: its logits are compared, which takes weights that moved, not good ones.
const SLOTS: Case = Case {
    name: "slots",
    data: "slots",
    training: &["--max-steps", "20", "--seed", "0"],
};

/// The same with adapters, which peft reads and writes.
const ADAPTERS: Case = Case {
    name: "adapters",
    data: "intent",
    training: &["--method", "lora", "--max-steps", "20", "--seed", "0"],
};

/// How often a run is killed.
const KILLS: usize = 20;

struct Slow<'a> {
    root: &'a Path,
    options: &'a Options,
    rekindle: PathBuf,
    folder: TempDir,
}

/// Runs every proof, prints a table of them, and fails if one does.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let slow = Slow {
        root,
        options,
        rekindle: program::rekindle(root, options.binary.as_deref())?,
        folder: tempfile::tempdir()?,
    };
    slow.train(&INTENTS)?;
    let mut proofs = vec![Proof::at_least(
        format!("{}: accuracy after one epoch", INTENTS.name),
        LEAST_ACCURACY,
        slow.accuracy(&INTENTS)?,
    )];
    proofs.extend(slow.exchange(&INTENTS)?);
    slow.train(&SLOTS)?;
    proofs.extend(slow.exchange(&SLOTS)?);
    slow.train(&ADAPTERS)?;
    proofs.extend(slow.exchange(&ADAPTERS)?);
    proofs.extend(slow.resume()?);
    println!("{}", proof::table(&proofs));
    match proofs.iter().filter(|proof| !proof.holds()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} proofs failed", proofs.len()),
    }
}

impl Slow<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, case: &Case) -> PathBuf {
        self.path(case.name)
    }

    fn valid(&self, case: &Case) -> PathBuf {
        self.options.data.join(format!("{}.valid.jsonl", case.data))
    }

    fn rekindle(&self, command: &str) -> Command {
        let mut process = Command::new(&self.rekindle);
        process.args([command, "--backend", &self.options.backend]);
        process
    }

    /// Fine-tunes on the sampled rows, in full, in batches of 16.
    fn train(&self, case: &Case) -> anyhow::Result<()> {
        let file = format!("{}.train.jsonl", case.data);
        let rows = self.path(&file);
        snips::sample(&self.options.data.join(&file), &rows)?;
        eprintln!("==> training on {file}");
        let mut command = self.rekindle("train");
        program::flags(
            &mut command,
            [
                ("--model", &self.options.model),
                ("--data", &rows),
                ("--valid", &self.valid(case)),
                ("--batch-size", &"16"),
                ("--output", &self.run(case)),
                ("--dashboard", &"none"),
            ],
        );
        program::finish(command.args(case.training))?;
        Ok(())
    }

    /// Accuracy of the saved model on all validation rows.
    fn accuracy(&self, case: &Case) -> anyhow::Result<f64> {
        let mut command = self.rekindle("eval");
        let (run, valid) = (self.run(case), self.valid(case));
        program::flags(&mut command, [("--model", &run), ("--data", &valid)]);
        let report = program::finish(command.arg("--json"))?.stdout;
        program::number(&serde_json::from_str(&report)?, "/metrics/accuracy")
    }

    /// Kills a run twenty times, six of them or more while a checkpoint is written.
    fn resume(&self) -> anyhow::Result<[Proof; 2]> {
        eprintln!("==> killing a run {KILLS} times");
        let recipe = self.path("resume.toml");
        let rows = self.path(&format!("{}.train.jsonl", INTENTS.data));
        let text = format!(
            "[model]\nbase = '{}'\n[data]\ntrain = ['{}']\n[train]\nmax_steps = 90\naccumulate = 2\n\
             batch_size = 8\nevaluate_every = 25\n[checkpoint]\nsave_every = 3\n[run]\nbackend = '{}'\n",
            self.options.model.display(),
            rows.display(),
            self.options.backend
        );
        fs::write(&recipe, text)?;
        let mut command = Command::new(&self.rekindle);
        command.arg("doctor").arg("--verify-resume").arg(&recipe);
        command.args(["--kills", &KILLS.to_string()]);
        let told = program::finish(&mut command)?.stdout;
        eprint!("{told}");
        let is_identical = told.contains("steps and the final weights are identical");
        let within = told
            .split(" while one was written")
            .next()
            .unwrap_or_default();
        let within = within.rsplit(' ').next().unwrap_or_default().parse()?;
        Ok([
            Proof::at_least(
                format!("killed {KILLS} times and resumed, all is identical (1: yes)"),
                1.0,
                f64::from(u8::from(is_identical)),
            ),
            Proof::at_least(
                "kills while a checkpoint was written".to_owned(),
                5.0,
                within,
            ),
        ])
    }

    /// Our model in transformers, and back.
    fn exchange(&self, case: &Case) -> anyhow::Result<[Proof; 2]> {
        let name = case.name;
        eprintln!("==> comparing the logits of {name} with those of transformers");
        let rows = self.path(&format!("{name}.compared.jsonl"));
        snips::spread(&self.valid(case), COMPARED_ROWS, &rows)?;
        let model = self.run(case).join("model");
        let theirs = self.path(&format!("{name}.transformers"));
        let ours = self.predict(&model, &rows)?;
        let in_transformers = self.transformers(&model, &rows, &theirs)?;
        let back = self.predict(&theirs, &rows)?;
        let proof = |what: &str, found: &[Value]| {
            let difference = largest_difference(&in_transformers, found);
            let difference = difference.context("the logits have different shapes")?;
            anyhow::Ok(Proof::at_most(
                format!("{name}: {what}"),
                TOLERANCE,
                difference,
            ))
        };
        Ok([
            proof("a model of ours has the same logits in transformers", &ours)?,
            proof("saved by transformers, it has them in rekindle", &back)?,
        ])
    }

    /// Logits of each row by rekindle.
    fn predict(&self, model: &Path, rows: &Path) -> anyhow::Result<Vec<Value>> {
        let mut command = self.rekindle("predict");
        program::flags(&mut command, [("--model", &model), ("--input", &rows)]);
        logits(&program::finish(command.arg("--logits"))?.stdout)
    }

    /// Logits of each row by transformers, which then saves the model in `save`.
    fn transformers(&self, model: &Path, rows: &Path, save: &Path) -> anyhow::Result<Vec<Value>> {
        let mut command = program::peer(self.root, &self.options.python, "logits.py");
        program::flags(
            &mut command,
            [("--model", &model), ("--input", &rows), ("--save", &save)],
        );
        let logits = logits(&program::finish(&mut command)?.stdout)?;
        let is_adapter = fs::exists(model.join("adapter_config.json"))?;
        let file = if is_adapter {
            "adapter_model.safetensors"
        } else {
            "model.safetensors"
        };
        let weights = save.join(file);
        ensure!(
            fs::exists(&weights)?,
            "transformers or peft saved no `{}`",
            weights.display()
        );
        Ok(logits)
    }
}

/// The `logits` of objects that a program printed, one for each compared row.
fn logits(stdout: &str) -> anyhow::Result<Vec<Value>> {
    let objects = program::parse_lines(stdout)?;
    ensure!(
        objects.len() == COMPARED_ROWS,
        "{} rows were answered",
        objects.len()
    );
    Ok(objects
        .into_iter()
        .map(|mut object| object["logits"].take())
        .collect())
}
