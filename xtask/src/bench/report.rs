//! The table of a measurement, and its place in the document.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Context as _;

use super::decoder;
use super::epoch::{self, Epoch};
use super::predict::Answers;
use super::step::{BATCH_SIZE, Steps, TOKENS, median};
use super::{Bench, Runs};
use crate::program;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// A table with what it was measured on.
pub(super) struct Report {
    setting: String,
    command: String,
    rows: Vec<Row>,
}

/// One quantity, a value per run; the peers have none where they were not run.
struct Row {
    what: String,
    unit: Unit,
    ours: Vec<f64>,
    peers: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    PerSecond,
    Bytes,
    Share,
}

impl Report {
    pub(super) fn new(bench: &Bench, steps: &Runs<Steps>) -> anyhow::Result<Self> {
        Ok(Self {
            setting: setting(bench, steps)?,
            command: command(bench),
            rows: step_rows(steps),
        })
    }

    pub(super) fn add_epochs(&mut self, epochs: &[(epoch::Variant, Runs<Epoch>)]) {
        self.rows.extend(epochs.iter().flat_map(epoch_rows));
    }

    pub(super) fn add_answers(&mut self, answers: Option<&Runs<Answers>>) {
        self.rows.extend(answers.into_iter().flat_map(answer_rows));
    }

    pub(super) fn add_decoders(&mut self, decoders: &[(decoder::Variant, Runs<Steps>)]) {
        self.rows.extend(decoders.iter().flat_map(decoder_rows));
    }
}

fn step_rows(runs: &Runs<Steps>) -> Vec<Row> {
    vec![
        row("step", Unit::Seconds, runs, |run| Some(run.median_seconds)),
        row("step, tokens a second", Unit::PerSecond, runs, |run| {
            Some((BATCH_SIZE * TOKENS) as f64 / run.median_seconds)
        }),
        row("step, the first one", Unit::Seconds, runs, |run| {
            Some(run.first_seconds)
        }),
        row("step, peak memory", Unit::Bytes, runs, |run| run.peak_bytes),
    ]
}

fn decoder_rows((variant, runs): &(decoder::Variant, Runs<Steps>)) -> Vec<Row> {
    let name = |what: &str| format!("{}, {what}", variant.name);
    vec![
        row(name("step"), Unit::Seconds, runs, |run| {
            Some(run.median_seconds)
        }),
        row(name("peak memory"), Unit::Bytes, runs, |run| run.peak_bytes),
    ]
}

fn epoch_rows((variant, runs): &(epoch::Variant, Runs<Epoch>)) -> Vec<Row> {
    let name = |what: &str| format!("{}, {what}", variant.name);
    vec![
        row(name("training alone"), Unit::Seconds, runs, |run| {
            Some(run.training_seconds)
        }),
        row(name("whole process"), Unit::Seconds, runs, |run| {
            Some(run.process_seconds)
        }),
        row(name("start to first step"), Unit::Seconds, runs, |run| {
            Some(run.first_step_seconds)
        }),
        row(name("peak memory"), Unit::Bytes, runs, |run| run.peak_bytes),
        row(name("accuracy after it"), Unit::Share, runs, |run| {
            Some(run.accuracy)
        }),
        row(
            name("events and hashes by steps"),
            Unit::Share,
            runs,
            |run| run.record_share,
        ),
    ]
}

fn answer_rows(runs: &Runs<Answers>) -> Vec<Row> {
    vec![
        row("predict, whole process", Unit::Seconds, runs, |run| {
            Some(run.process_seconds)
        }),
        row(
            "predict, beside the peer without loading",
            Unit::Seconds,
            runs,
            |run| Some(run.answering_seconds),
        ),
        row("predict, peak memory", Unit::Bytes, runs, |run| {
            run.peak_bytes
        }),
    ]
}

fn row<T>(
    what: impl Into<String>,
    unit: Unit,
    runs: &Runs<T>,
    value: fn(&T) -> Option<f64>,
) -> Row {
    let values = |runs: &[T]| runs.iter().filter_map(value).collect();
    Row {
        what: what.into(),
        unit,
        ours: values(&runs.ours),
        peers: values(&runs.peers),
    }
}

/// Date, machine and versions.
fn setting(bench: &Bench, steps: &Runs<Steps>) -> anyhow::Result<String> {
    let date = jiff::Zoned::now().date();
    let cpu = fs::read_to_string("/proc/cpuinfo").ok();
    let cpu = cpu
        .as_deref()
        .and_then(cpu_model)
        .unwrap_or(std::env::consts::ARCH);
    let threads = &bench.threads;
    let rekindle = program::finish(Command::new(&bench.rekindle).arg("--version"))?.stdout;
    let rustc = program::finish(Command::new("rustc").arg("--version"))?.stdout;
    let mut versions = vec![
        rekindle.trim(),
        rustc.split(" (").next().unwrap_or_default(),
    ];
    versions.extend(steps.peers.first().and_then(|run| run.versions.as_deref()));
    let versions = versions.join(", ");
    Ok(format!(
        "Measured on {date} with {threads} threads of a CPU `{cpu}`: {versions}."
    ))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The command that measures this again, with placeholders for paths.
fn command(bench: &Bench) -> String {
    let options = bench.options;
    let mut words = vec!["cargo xtask bench".to_owned()];
    if options.model.is_some() {
        words.push("--model MINILM --snips SNIPS".to_owned());
    }
    if options.decoder {
        words.push("--decoder".to_owned());
    }
    if options.peers {
        words.push("--peers".to_owned());
    }
    if let Some(repeats) = options.repeats {
        words.push(format!("--repeats {repeats}"));
    }
    words.push(format!("--steps {}", options.steps));
    words.join(" ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            command,
            rows,
        } = self;
        writeln!(f, "{setting}\n\n    {command}\n")?;
        writeln!(f, "| | rekindle, `flex` | torch and transformers | ratio |")?;
        writeln!(f, "|---|---|---|---|")?;
        for Row {
            what,
            unit,
            ours,
            peers,
        } in rows
        {
            let ratio = match unit {
                Unit::Seconds | Unit::Bytes if !ours.is_empty() && !peers.is_empty() => {
                    format!("{:.2}", median(ours) / median(peers))
                }
                _ => String::new(),
            };
            writeln!(
                f,
                "| {what} | {} | {} | {ratio} |",
                unit.cell(ours),
                unit.cell(peers)
            )?;
        }
        Ok(())
    }
}

impl Unit {
    /// The median of the runs, and their range where there are several.
    fn cell(self, values: &[f64]) -> String {
        if values.is_empty() {
            return String::new();
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let [middle, least, most] = [median(values), least, most].map(|value| self.number(value));
        let unit = match self {
            Self::Seconds => " s",
            Self::Bytes => " MiB",
            Self::PerSecond | Self::Share => "",
        };
        if values.len() > 1 {
            format!("{middle}{unit} ({least}–{most})")
        } else {
            format!("{middle}{unit}")
        }
    }

    fn number(self, value: f64) -> String {
        const MEBIBYTE: f64 = 1_048_576.0;
        match self {
            Self::Seconds if value >= 10.0 => format!("{value:.1}"),
            Self::Seconds => format!("{value:.3}"),
            Self::PerSecond => format!("{value:.0}"),
            Self::Bytes => format!("{:.0}", value / MEBIBYTE),
            Self::Share => format!("{value:.4}"),
        }
    }
}

/// The document with `report` between its markers.
pub(super) fn replace(document: &str, report: &str) -> anyhow::Result<String> {
    let markers = || format!("no `{BEGIN}` before an `{END}`");
    let (head, rest) = document.split_once(BEGIN).with_context(markers)?;
    let (_, tail) = rest.split_once(END).with_context(markers)?;
    let report = report.trim_end();
    Ok(format!("{head}{BEGIN}\n{report}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_ranges_and_ratios() {
        let row = |what: &str, unit, ours: &[f64], peers: &[f64]| Row {
            what: what.to_owned(),
            unit,
            ours: ours.to_vec(),
            peers: peers.to_vec(),
        };
        let report = Report {
            setting: "Measured.".to_owned(),
            command: "cargo xtask bench".to_owned(),
            rows: vec![
                row("step", Unit::Seconds, &[2.1, 1.9, 2.0], &[1.0]),
                row("memory", Unit::Bytes, &[1_048_576.0 * 500.0], &[]),
                row("accuracy", Unit::Share, &[0.91], &[0.92]),
            ],
        };
        let expected = "Measured.\n\n    cargo xtask bench\n\n\
            | | rekindle, `flex` | torch and transformers | ratio |\n|---|---|---|---|\n\
            | step | 2.000 s (1.900–2.100) | 1.000 s | 2.00 |\n\
            | memory | 500 MiB |  |  |\n| accuracy | 0.9100 | 0.9200 |  |\n";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let document = format!("# Title\n\n{BEGIN}\nold\n{END}\n\ntail\n");
        let replaced = replace(&document, "new\n").unwrap();
        assert_eq!(
            replaced,
            format!("# Title\n\n{BEGIN}\nnew\n{END}\n\ntail\n")
        );
        assert!(replace("# Title\n", "new").is_err());
        assert!(replace(&format!("{END}\n{BEGIN}\n"), "new").is_err());
    }

    #[test]
    fn the_document_has_the_markers() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap();
        let document = fs::read_to_string(root.join(super::super::DOCUMENT)).unwrap();
        assert!(replace(&document, "new").is_ok());
    }

    #[test]
    fn the_cpu_is_named_as_linux_does() {
        let text = "processor\t: 0\nmodel name\t: Some CPU 9\nflags\t\t: a b\n";
        assert_eq!(cpu_model(text), Some("Some CPU 9"));
        assert_eq!(cpu_model(""), None);
    }
}
