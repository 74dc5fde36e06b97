//! Proofs with an encoder: what it reaches, that transformers agrees, that a stopped run goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::proof::{Proof, largest_difference};
use super::{Slow, TOLERANCE};
use crate::{program, snips};

/// What one epoch must reach, with room for the seed: transformers' Trainer gets 0.95 to 0.98.
const LEAST_ACCURACY: f64 = 0.90;

/// Rows whose logits are compared.
const COMPARED_ROWS: usize = 32;

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

/// The model and the data of these proofs.
pub(super) struct Encoders<'a> {
    pub(super) slow: &'a Slow<'a>,
    /// Folder of the model.
    pub(super) model: &'a Path,
    /// Folder with SNIPS.
    pub(super) data: &'a Path,
}

impl Encoders<'_> {
    /// Everything about classes, tags, adapters on both, and stopped runs.
    pub(super) fn prove(&self) -> anyhow::Result<Vec<Proof>> {
        self.train(&INTENTS)?;
        let mut proofs = vec![Proof::at_least(
            format!("{}: accuracy after one epoch", INTENTS.name),
            LEAST_ACCURACY,
            self.accuracy(&INTENTS)?,
        )];
        proofs.extend(self.exchange(&INTENTS)?);
        self.train(&SLOTS)?;
        proofs.extend(self.exchange(&SLOTS)?);
        self.train(&ADAPTERS)?;
        proofs.extend(self.exchange(&ADAPTERS)?);
        proofs.extend(self.resume()?);
        Ok(proofs)
    }

    fn run(&self, case: &Case) -> PathBuf {
        self.slow.path(case.name)
    }

    fn valid(&self, case: &Case) -> PathBuf {
        self.data.join(format!("{}.valid.jsonl", case.data))
    }

    /// Fine-tunes on the sampled rows, in full, in batches of 16.
    fn train(&self, case: &Case) -> anyhow::Result<()> {
        let file = format!("{}.train.jsonl", case.data);
        let rows = self.slow.path(&file);
        snips::sample(&self.data.join(&file), &rows)?;
        eprintln!("==> training on {file}");
        let mut command = self.slow.rekindle("train");
        program::flags(
            &mut command,
            [
                ("--model", &self.model),
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
        let mut command = self.slow.rekindle("eval");
        let (run, valid) = (self.run(case), self.valid(case));
        program::flags(&mut command, [("--model", &run), ("--data", &valid)]);
        let report = program::finish(command.arg("--json"))?.stdout;
        program::number(&serde_json::from_str(&report)?, "/metrics/accuracy")
    }

    /// Kills a run twenty times, six of them or more while a checkpoint is written.
    fn resume(&self) -> anyhow::Result<[Proof; 2]> {
        eprintln!("==> killing a run {KILLS} times");
        let recipe = self.slow.path("resume.toml");
        let rows = self.slow.path(&format!("{}.train.jsonl", INTENTS.data));
        let text = format!(
            "[model]\nbase = '{}'\n[data]\ntrain = ['{}']\n[train]\nmax_steps = 90\naccumulate = 2\n\
             batch_size = 8\nevaluate_every = 25\n[checkpoint]\nsave_every = 3\n[run]\nbackend = '{}'\n",
            self.model.display(),
            rows.display(),
            self.slow.options.backend
        );
        fs::write(&recipe, text)?;
        let mut command = Command::new(&self.slow.rekindle);
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
        let rows = self.slow.path(&format!("{name}.compared.jsonl"));
        snips::spread(&self.valid(case), COMPARED_ROWS, &rows)?;
        let model = self.run(case).join("model");
        let theirs = self.slow.path(&format!("{name}.transformers"));
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
        let mut command = self.slow.rekindle("predict");
        program::flags(&mut command, [("--model", &model), ("--input", &rows)]);
        logits(&program::finish(command.arg("--logits"))?.stdout)
    }

    /// Logits of each row by transformers, which then saves the model in `save`.
    fn transformers(&self, model: &Path, rows: &Path, save: &Path) -> anyhow::Result<Vec<Value>> {
        let mut command = self.slow.peer("logits.py");
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
