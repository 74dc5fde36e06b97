//! `cargo xtask transfer`: what the bundled model's pre-training is worth, over several seeds.
//!
//! Each way to train is run with the defaults of `rekindle train` for it, from seeds 1 to N; the seed draws the
//! new weights, the order of the rows, and which rows of SNIPS are the few. The validation rows are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{self, number};

/// The bundled model's folder, whose shape random weights have.
const BUNDLED: &str = "models/rekindle-bert/bundled";

/// Rows of each class that are learned from, of SNIPS.
const ROWS_OF_A_CLASS: usize = 10;

/// Passes over so few rows.
const EPOCHS_OF_FEW: &str = "20";

/// Rows with scores that are learned from, of VADER: raters cost more than texts.
const SCORED_ROWS: usize = 500;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder with SNIPS as `intent.train.jsonl` and `intent.valid.jsonl`; without it, only the bundled reviews
    #[arg(long, value_name = "DIR")]
    snips: Option<PathBuf>,
    /// Folder with VADER's film reviews as `movie.train.jsonl` and `movie.valid.jsonl`, for adaptation in two steps
    #[arg(long, value_name = "DIR")]
    vader: Option<PathBuf>,
    /// Seeds of each way to train
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// A binary to measure [default: the release build, brought up to date]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// A way to train, and what is added to the command for it.
struct Way {
    name: &'static str,
    method: &'static str,
    is_pretrained: bool,
}

const WAYS: [Way; 5] = [
    Way {
        name: "all weights, from random ones",
        method: "full",
        is_pretrained: false,
    },
    Way {
        name: "head alone (`head`)",
        method: "head",
        is_pretrained: true,
    },
    Way {
        name: "last blocks (`last-layers`)",
        method: "last-layers",
        is_pretrained: true,
    },
    Way {
        name: "adapters (`lora`)",
        method: "lora",
        is_pretrained: true,
    },
    Way {
        name: "all weights (`full`)",
        method: "full",
        is_pretrained: true,
    },
];

struct Transfer<'a> {
    root: &'a Path,
    rekindle: PathBuf,
    seeds: u16,
    folder: TempDir,
}

/// Trains in all ways, and prints a table.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let transfer = Transfer {
        root,
        rekindle: program::rekindle(root, options.binary.as_deref())?,
        seeds: options.seeds,
        folder: tempfile::tempdir()?,
    };
    let mut head = "| accuracy, %, mean ± sd of seeds | bundled reviews |".to_owned();
    let mut rule = "|---|---|".to_owned();
    if options.snips.is_some() {
        head += &format!(" SNIPS, {ROWS_OF_A_CLASS} rows a class |");
        rule += "---|";
    }
    println!("{head}\n{rule}");
    for way in &WAYS {
        let reviews = transfer.each_seed(|seed| {
            let mut command = transfer.train(way, seed)?;
            transfer.metric(&mut command, "accuracy")
        })?;
        let mut line = format!("| {} | {} |", way.name, percent(&reviews));
        if let Some(snips) = &options.snips {
            let found = transfer.each_seed(|seed| transfer.snips(way, seed, snips))?;
            line += &format!(" {} |", percent(&found));
        }
        println!("{line}");
    }
    if let Some(vader) = &options.vader {
        transfer.two_steps(vader)?;
    }
    Ok(())
}

impl Transfer<'_> {
    fn each_seed(
        &self,
        mut run: impl FnMut(u16) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Vec<f64>> {
        (1..=self.seeds).map(&mut run).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A training run of the bundled model, or of random weights in its shape.
    fn train(&self, way: &Way, seed: u16) -> anyhow::Result<Command> {
        let mut command = self.command(seed);
        command.args(["--method", way.method]);
        if !way.is_pretrained {
            let folder = self.root.join(BUNDLED);
            let folder = folder.to_str().context("a path in Unicode")?;
            for key in ["config", "tokenizer"] {
                command
                    .arg("--set")
                    .arg(format!("model.{key}={}", Value::from(folder)));
            }
        }
        Ok(command)
    }

    fn command(&self, seed: u16) -> Command {
        let mut command = Command::new(&self.rekindle);
        command
            .args(["train", "--backend", "flex", "--dashboard", "none"])
            .args(["--seed", &seed.to_string()]);
        command
    }

    /// The metric of the weights that a run keeps.
    fn metric(&self, command: &mut Command, name: &str) -> anyhow::Result<f64> {
        let run = tempfile::tempdir_in(self.folder.path())?;
        program::finish(command.arg("--output").arg(run.path()))?;
        let events = program::read_lines(&run.path().join("events.jsonl"))?;
        let finish = events.last().context("a run without events")?;
        ensure!(
            finish["metric"] == name,
            "weights are kept by {}",
            finish["metric"]
        );
        number(finish, "/best")
    }

    fn snips(&self, way: &Way, seed: u16, data: &Path) -> anyhow::Result<f64> {
        let few = self.path("few.jsonl");
        fs::write(&few, few_of_each(&data.join("intent.train.jsonl"), seed)?)?;
        let mut command = self.train(way, seed)?;
        program::flags(
            &mut command,
            [
                ("--data", &few),
                ("--valid", &data.join("intent.valid.jsonl")),
                ("--epochs", &EPOCHS_OF_FEW),
            ],
        );
        self.metric(&mut command, "accuracy")
    }

    /// The language of film reviews first, without their scores, and the scores of a few of them then.
    fn two_steps(&self, data: &Path) -> anyhow::Result<()> {
        let train = data.join("movie.train.jsonl");
        let adapted = self.path("adapted");
        let mut command = self.command(1);
        program::flags(
            &mut command,
            [
                ("--task", &"mask"),
                ("--data", &train),
                ("--epochs", &"5"),
                ("--learning-rate", &"3e-4"),
                ("--output", &adapted),
            ],
        );
        program::finish(&mut command)?;
        let scores = |model: Option<&Path>| {
            self.each_seed(|seed| {
                let few = self.path("few.jsonl");
                let rows = shuffled(&train, seed)?;
                fs::write(&few, rows[..SCORED_ROWS.min(rows.len())].join("\n"))?;
                let mut command = self.command(seed);
                if let Some(model) = model {
                    command.arg("--model").arg(model);
                }
                program::flags(
                    &mut command,
                    [
                        ("--task", &"regress"),
                        ("--data", &few),
                        ("--valid", &data.join("movie.valid.jsonl")),
                        ("--epochs", &"5"),
                    ],
                );
                self.metric(&mut command, "spearman")
            })
        };
        println!("\n| Spearman's ρ, mean ± sd of seeds | VADER, {SCORED_ROWS} scored reviews |");
        println!("|---|---|");
        println!("| the bundled model | {} |", plain(&scores(None)?));
        let adapted = scores(Some(&adapted))?;
        println!(
            "| after `--task mask` on all reviews | {} |",
            plain(&adapted)
        );
        Ok(())
    }
}

/// Some rows of each class, others for each seed.
fn few_of_each(path: &Path, seed: u16) -> anyhow::Result<String> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut few = Vec::new();
    for line in shuffled(path, seed)? {
        let row: Value = serde_json::from_str(&line)?;
        let label = row["label"].as_str().context("a row without a label")?;
        let count = taken.entry(label.to_owned()).or_default();
        if *count < ROWS_OF_A_CLASS {
            *count += 1;
            few.push(line);
        }
    }
    Ok(few.join("\n"))
}

/// The lines of a file in an order that the seed gives: by a hash of both.
fn shuffled(path: &Path, seed: u16) -> anyhow::Result<Vec<String>> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_by_cached_key(|line| {
        let mut hasher = DefaultHasher::new();
        (seed, line).hash(&mut hasher);
        hasher.finish()
    });
    Ok(lines)
}

fn percent(shares: &[f64]) -> String {
    let [mean, sd] = moments(shares);
    format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * sd)
}

fn plain(values: &[f64]) -> String {
    let [mean, sd] = moments(values);
    format!("{mean:.3} ± {sd:.3}")
}

/// Mean, and standard deviation of a sample.
fn moments(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / (count - 1.0).max(1.0)).sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_a_sample() {
        assert_eq!(moments(&[1.0, 3.0]), [2.0, 2.0_f64.sqrt()]);
        assert_eq!(moments(&[5.0]), [5.0, 0.0]);
        assert_eq!(percent(&[0.5, 0.5]), "50.0 ± 0.0");
    }

    #[test]
    fn each_class_has_as_many_rows_and_each_seed_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows: Vec<String> = (0..60)
            .map(|row| format!(r#"{{"text": "{row}", "label": "{}"}}"#, row % 2))
            .collect();
        fs::write(&path, rows.join("\n")).unwrap();
        let [first, second] = [1, 2].map(|seed| few_of_each(&path, seed).unwrap());
        assert_eq!(first.lines().count(), 2 * ROWS_OF_A_CLASS);
        assert_eq!(first, few_of_each(&path, 1).unwrap());
        assert_ne!(first, second);
    }
}
