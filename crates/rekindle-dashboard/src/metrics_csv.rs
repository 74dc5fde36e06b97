//! Losses and metrics as a table with a row per step.

use std::io::{self, Write};

use rekindle_train::events::{Evaluation, Event, Events, Step};

use crate::backlog::Backlog;
use crate::sink::Sink;

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
    writer: csv::Writer<Backlog<W>>,
    /// Names of the task's numbers, as the last columns.
    metrics: &'static [&'static str],
    pending: Option<Pending>,
}

/// A row that may still get the numbers of an evaluation.
#[derive(Debug)]
struct Pending {
    number: usize,
    /// Absent where the update was left out.
    step: Option<Step>,
    evaluation: Option<Evaluation>,
}

impl Pending {
    fn new(number: usize, step: Option<Step>) -> Self {
        Self {
            number,
            step,
            evaluation: None,
        }
    }
}

impl<W: Write> MetricsCsv<W> {
    /// Writes the header, and later a row for each step; `metrics` are the task's numbers.
    pub fn new(writer: W, metrics: &'static [&'static str]) -> Self {
        let mut csv = Self {
            writer: csv::Writer::from_writer(Backlog::new(writer)),
            metrics,
            pending: None,
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
        // What it cannot write it keeps, and tells by `failure`.
        let _ = self.writer.write_record(row);
        let _ = self.writer.flush();
    }

    fn flush_pending(&mut self) {
        let Some(Pending {
            number,
            step,
            evaluation,
        }) = self.pending.take()
        else {
            return;
        };
        let metric = |name: &str| {
            let value = evaluation
                .as_ref()
                .and_then(|evaluation| evaluation.metrics.get(name));
            value.map_or(String::new(), ToString::to_string)
        };
        let accuracy = if self.metrics.contains(&"token_accuracy") {
            metric("token_accuracy")
        } else {
            metric("accuracy")
        };
        let of_step = |field: fn(&Step) -> Option<f64>| optional(step.as_ref().and_then(field));
        let valid_loss = evaluation.as_ref().and_then(|found| found.valid_loss);
        let mut row = vec![
            number.to_string(),
            of_step(|step| Some(step.loss)),
            of_step(|step| step.accuracy),
            optional(valid_loss),
            accuracy,
            of_step(|step| Some(step.learning_rate)),
            of_step(|step| Some(step.grad_norm)),
            step.as_ref()
                .map_or(String::new(), |step| step.tokens.to_string()),
            of_step(|step| Some(step.seconds)),
        ];
        row.extend(self.metrics.iter().map(|name| metric(name)));
        self.write(&row);
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

impl<W: Write> Events for MetricsCsv<W> {
    fn emit(&mut self, event: Event) {
        match event {
            Event::Step(step) => {
                self.flush_pending();
                self.pending = Some(Pending::new(step.step, Some(step)));
            }
            Event::Skip(skip) => {
                self.flush_pending();
                self.pending = Some(Pending::new(skip.step, None));
            }
            Event::Evaluation(evaluation) => {
                if let Some(pending) = &mut self.pending {
                    pending.evaluation = Some(evaluation);
                }
            }
            Event::Checkpoint(_) | Event::Failure { .. } | Event::Finish(_) => self.flush_pending(),
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
        self.writer.get_ref().failure()
    }
}
