//! Losses and metrics as a table with a row per step.

use std::io::{self, Write};

use rekindle_train::events::{Evaluation, Event, Events, Step};

use crate::sink::{FirstError, Sink};

/// The columns that users of hosted fine-tuning know, then ours.
const COLUMNS: [&str; 5] = [
    "step",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
];
const OWN_COLUMNS: [&str; 4] = ["learning_rate", "grad_norm", "tokens", "seconds"];

/// Writes `metrics.csv`; empty cells were not measured.
///
/// A step's row is written when the next step begins, since an evaluation of it may follow.
#[derive(Debug)]
pub struct MetricsCsv<W: Write> {
    writer: csv::Writer<W>,
    /// Names of the task's numbers, as the last columns.
    metrics: &'static [&'static str],
    pending: Option<(Step, Option<Evaluation>)>,
    error: FirstError,
}

impl<W: Write> MetricsCsv<W> {
    /// Writes the header, and later a row for each step; `metrics` are the task's numbers.
    pub fn new(writer: W, metrics: &'static [&'static str]) -> Self {
        let mut csv = Self {
            writer: csv::Writer::from_writer(writer),
            metrics,
            pending: None,
            error: FirstError::default(),
        };
        let own = metrics.iter().map(|name| format!("valid_{name}"));
        let header: Vec<String> = COLUMNS
            .iter()
            .chain(&OWN_COLUMNS)
            .map(|&name| name.to_owned())
            .chain(own)
            .collect();
        csv.write(&header);
        csv
    }

    fn write(&mut self, row: &[String]) {
        let writer = &mut self.writer;
        self.error.guard(|| {
            writer.write_record(row)?;
            writer.flush()
        });
    }

    fn flush_pending(&mut self) {
        let Some((step, evaluation)) = self.pending.take() else {
            return;
        };
        let metric = |name: &str| {
            let value = evaluation
                .as_ref()
                .and_then(|evaluation| evaluation.metrics.get(name));
            value.map_or(String::new(), ToString::to_string)
        };
        let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let accuracy = if self.metrics.contains(&"token_accuracy") {
            metric("token_accuracy")
        } else {
            metric("accuracy")
        };
        let mut row = vec![
            step.step.to_string(),
            step.loss.to_string(),
            optional(step.accuracy),
            optional(
                evaluation
                    .as_ref()
                    .and_then(|evaluation| evaluation.valid_loss),
            ),
            accuracy,
            step.learning_rate.to_string(),
            step.grad_norm.to_string(),
            step.tokens.to_string(),
            step.seconds.to_string(),
        ];
        row.extend(self.metrics.iter().map(|name| metric(name)));
        self.write(&row);
    }
}

impl<W: Write> Events for MetricsCsv<W> {
    fn emit(&mut self, event: Event) {
        match event {
            Event::Step(step) => {
                self.flush_pending();
                self.pending = Some((step, None));
            }
            Event::Evaluation(evaluation) => {
                if let Some((_, slot)) = &mut self.pending {
                    *slot = Some(evaluation);
                }
            }
            Event::Checkpoint(_) | Event::Failure { .. } | Event::Finish(_) => self.flush_pending(),
            Event::Skip(skip) => {
                self.flush_pending();
                let mut row = vec![skip.step.to_string()];
                row.resize(COLUMNS.len() + OWN_COLUMNS.len() + self.metrics.len(), String::new());
                self.write(&row);
            }
            _ => {}
        }
    }

    fn replay(&mut self, history: &[Event]) {
        for event in history {
            self.emit(event.clone());
        }
    }
}

impl<W: Write> Sink for MetricsCsv<W> {
    fn failure(&self) -> Option<&io::Error> {
        self.error.get()
    }
}
