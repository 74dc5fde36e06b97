//! Proofs with a language model: its losses and its text are those of transformers, also after training.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::proof::Proof;
use super::{Slow, TOLERANCE};
use crate::program;

/// Characters of the text on which losses are taken; the others are learned from.
const HELD_OUT: &str = "20000";

/// The most tokens of a row.
const TOKENS: &str = "512";

/// Steps whose losses are compared one by one.
const CURVE_STEPS: &str = "20";

/// Their highest learning rate.
const CURVE_RATE: &str = "1e-3";

/// A batch that holds every block of the held-out text, so that their order says nothing.
const WHOLE_TEXT: &str = "64";

/// A text to go on with, and the tokens to add.
const PROMPT: [&str; 4] = [
    "--prompt",
    "Once upon a time, there was a little",
    "--max-tokens",
    "200",
];

/// What training takes off the loss at least, of 4.6 nats that stories leave for Shakespeare.
const LEAST_FALL: f64 = 0.3;

/// The model and the text of these proofs.
pub(super) struct Decoders<'a> {
    pub(super) slow: &'a Slow<'a>,
    /// Folder of the model.
    pub(super) model: &'a Path,
    /// File of the text.
    pub(super) text: &'a Path,
}

/// A way to train.
struct Case {
    /// Name of the run.
    name: &'static str,
    /// What differs from the defaults.
    training: &'static [&'static str],
}

const FULL: Case = Case {
    name: "full",
    training: &["--method", "full", "--learning-rate", "1e-3"],
};

const LORA: Case = Case {
    name: "lora",
    training: &["--method", "lora", "--learning-rate", "3e-3"],
};

/// What a model makes of the held-out rows and of [`PROMPT`].
struct Reading {
    /// Of each row the sum of the losses, and how many there are.
    rows: Vec<[f64; 2]>,
    completion: String,
}

impl Decoders<'_> {
    /// Everything, the base first.
    pub(super) fn prove(&self) -> anyhow::Result<Vec<Proof>> {
        self.cut()?;
        let base = self.read(self.model)?;
        let mut proofs = self.compare("decoder", &base, self.model)?;
        proofs.push(self.curve()?);
        self.teach(&FULL, &base, &mut proofs)?;
        let adapted = self.teach(&LORA, &base, &mut proofs)?;
        let merged = self.merge(&LORA)?;
        let found = self.read(&merged)?;
        proofs.extend(self.compare("decoder, lora merged", &found, &merged)?);
        proofs.push(Proof::at_most(
            "decoder, lora merged: rows have the losses of the adapter".to_owned(),
            TOLERANCE,
            found.difference(&adapted)?,
        ));
        Ok(proofs)
    }

    /// Trains, and proves the result; returns what it makes of the held-out rows.
    fn teach(
        &self,
        case: &Case,
        base: &Reading,
        proofs: &mut Vec<Proof>,
    ) -> anyhow::Result<Reading> {
        self.train(case)?;
        let model = self.slow.path(case.name).join("model");
        let found = self.read(&model)?;
        let name = format!("decoder, {}", case.name);
        proofs.push(Proof::at_least(
            format!("{name}: the held-out loss falls by"),
            LEAST_FALL,
            base.loss() - found.loss(),
        ));
        proofs.extend(self.compare(&name, &found, &model)?);
        Ok(found)
    }

    fn valid(&self) -> PathBuf {
        self.slow.path("text.valid.jsonl")
    }

    fn rows(&self) -> PathBuf {
        self.slow.path("text.train.jsonl")
    }

    /// Makes rows of the text.
    fn cut(&self) -> anyhow::Result<()> {
        eprintln!("==> cutting {} into rows", self.text.display());
        let mut command = self.slow.peer("language.py");
        program::flags(
            &mut command,
            [
                ("--model", &self.model),
                ("--text", &self.text),
                ("--first", &HELD_OUT),
                ("--tokens", &TOKENS),
                ("--valid", &self.valid()),
                ("--train", &self.rows()),
            ],
        );
        program::finish(&mut command)?;
        Ok(())
    }

    fn train(&self, case: &Case) -> anyhow::Result<()> {
        eprintln!("==> training a language model, {}", case.name);
        // Where the adapter says its base is, peft looks for it from anywhere.
        let base = self.model.canonicalize()?;
        let mut command = self.slow.rekindle("train");
        program::flags(
            &mut command,
            [
                ("--model", &base),
                ("--data", &self.rows()),
                ("--valid", &self.valid()),
                ("--max-length", &TOKENS),
                ("--batch-size", &"8"),
                ("--max-steps", &"16"),
                ("--seed", &"0"),
                ("--output", &self.slow.path(case.name)),
                ("--dashboard", &"none"),
            ],
        );
        program::finish(command.args(case.training))?;
        Ok(())
    }

    /// Trains on all held-out blocks at every step, here and in torch.
    fn curve(&self) -> anyhow::Result<Proof> {
        eprintln!("==> comparing {CURVE_STEPS} losses of a training run with those of torch");
        let run = self.slow.path("curve");
        let mut command = self.slow.rekindle("train");
        program::flags(
            &mut command,
            [
                ("--model", &self.model),
                ("--data", &self.valid()),
                ("--max-length", &TOKENS),
                ("--batch-size", &WHOLE_TEXT),
                ("--max-steps", &CURVE_STEPS),
                ("--learning-rate", &CURVE_RATE),
                ("--set", &"data.valid_fraction=0"),
                ("--set", &"train.log_every=1"),
                ("--output", &run),
                ("--dashboard", &"none"),
            ],
        );
        program::finish(&mut command)?;
        let events = program::read_lines(&run.join("events.jsonl"))?;
        let steps = events.into_iter().filter(|event| event["event"] == "step");
        let ours = losses(steps)?;
        let mut command = self.slow.peer("language.py");
        program::flags(
            &mut command,
            [
                ("--model", &self.model),
                ("--input", &self.valid()),
                ("--tokens", &TOKENS),
                ("--steps", &CURVE_STEPS),
                ("--learning-rate", &CURVE_RATE),
            ],
        );
        let told = program::finish(&mut command)?.stdout;
        let theirs = losses(program::parse_lines(&told)?.into_iter())?;
        let [first, last] =
            [theirs.first(), theirs.last()].map(|loss| loss.copied().unwrap_or(0.0));
        ensure!(
            ours.len() == theirs.len(),
            "{} steps and {}",
            ours.len(),
            theirs.len()
        );
        let pairs = ours.iter().zip(&theirs);
        Ok(Proof::at_most(
            format!(
                "decoder: {CURVE_STEPS} losses of a run are those in torch ({first:.4} → {last:.4})"
            ),
            TOLERANCE,
            pairs
                .map(|(ours, theirs)| (ours - theirs).abs())
                .fold(0.0, f64::max),
        ))
    }

    fn merge(&self, case: &Case) -> anyhow::Result<PathBuf> {
        let merged = self.slow.path("merged");
        let mut command = self.slow.rekindle("export");
        program::flags(
            &mut command,
            [
                ("--model", &self.slow.path(case.name)),
                ("--to", &"merged"),
                ("--output", &merged),
            ],
        );
        program::finish(&mut command)?;
        Ok(merged)
    }

    /// What rekindle makes of the rows and the prompt.
    fn read(&self, model: &Path) -> anyhow::Result<Reading> {
        let losses = self.slow.path("losses.jsonl");
        let mut command = self.slow.rekindle("eval");
        program::flags(
            &mut command,
            [
                ("--model", &model),
                ("--data", &self.valid()),
                ("--max-length", &TOKENS),
                ("--per-example", &losses),
            ],
        );
        program::finish(command.arg("--json"))?;
        let mut command = self.slow.rekindle("generate");
        program::flags(&mut command, [("--model", &model)]);
        let told = program::finish(command.args(PROMPT).arg("--json"))?.stdout;
        Reading::new(
            &program::read_lines(&losses)?,
            &serde_json::from_str(&told)?,
        )
    }

    /// The same folder in transformers or peft.
    fn compare(&self, name: &str, ours: &Reading, model: &Path) -> anyhow::Result<Vec<Proof>> {
        eprintln!("==> comparing the losses and the text of {name} with those of transformers");
        let mut command = self.slow.peer("language.py");
        program::flags(
            &mut command,
            [
                ("--model", &model),
                ("--input", &self.valid()),
                ("--tokens", &TOKENS),
            ],
        );
        let told = program::finish(command.args(PROMPT))?.stdout;
        let mut objects = program::parse_lines(&told)?;
        let last = objects.pop().context("the peer printed nothing")?;
        let theirs = Reading::new(&objects, &last)?;
        Ok(vec![
            Proof::at_most(
                format!(
                    "{name}: the mean loss is that in transformers ({:.4})",
                    theirs.loss()
                ),
                TOLERANCE,
                (ours.loss() - theirs.loss()).abs(),
            ),
            Proof::at_most(
                format!("{name}: so is that of each row"),
                TOLERANCE,
                ours.difference(&theirs)?,
            ),
            Proof::at_least(
                format!("{name}: so are 200 greedy tokens (1: yes)"),
                1.0,
                f64::from(u8::from(ours.completion == theirs.completion)),
            ),
        ])
    }
}

/// The losses of objects.
fn losses(objects: impl Iterator<Item = Value>) -> anyhow::Result<Vec<f64>> {
    objects
        .map(|object| program::number(&object, "/loss"))
        .collect()
}

impl Reading {
    fn new(rows: &[Value], last: &Value) -> anyhow::Result<Self> {
        let pair = |row: &Value| {
            Ok([
                program::number(row, "/nll")?,
                program::number(row, "/tokens")?,
            ])
        };
        let completion = last["completion"].as_str();
        Ok(Self {
            rows: rows.iter().map(pair).collect::<anyhow::Result<_>>()?,
            completion: completion.context("no `completion`")?.to_owned(),
        })
    }

    /// Mean over all tokens.
    fn loss(&self) -> f64 {
        let sum = |index: usize| self.rows.iter().map(|row| row[index]).sum::<f64>();
        sum(0) / sum(1)
    }

    /// The largest difference of a row's mean loss.
    fn difference(&self, other: &Self) -> anyhow::Result<f64> {
        ensure!(
            self.rows.len() == other.rows.len(),
            "{} rows and {} rows",
            self.rows.len(),
            other.rows.len()
        );
        let mut largest = 0.0_f64;
        for ([nll, tokens], [other_nll, other_tokens]) in self.rows.iter().zip(&other.rows) {
            ensure!(
                tokens == other_tokens,
                "a row has {tokens} targets, and {other_tokens} in transformers"
            );
            largest = largest.max((nll / tokens - other_nll / other_tokens).abs());
        }
        Ok(largest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(rows: &[[f64; 2]]) -> Reading {
        let row = |[nll, tokens]: &[f64; 2]| json!({"nll": nll, "tokens": tokens});
        let rows: Vec<Value> = rows.iter().map(row).collect();
        Reading::new(&rows, &json!({"completion": "it"})).unwrap()
    }

    #[test]
    fn the_mean_counts_tokens_and_the_difference_rows() {
        let (one, other) = (
            reading(&[[2.0, 1.0], [4.0, 3.0]]),
            reading(&[[2.0, 1.0], [4.75, 3.0]]),
        );
        assert_eq!(one.loss(), 1.5);
        assert_eq!(one.difference(&other).unwrap(), 0.25);
    }

    #[test]
    fn other_rows_are_no_small_difference() {
        let one = reading(&[[2.0, 1.0]]);
        assert!(one.difference(&reading(&[])).is_err());
        assert!(one.difference(&reading(&[[2.0, 2.0]])).is_err());
    }
}
