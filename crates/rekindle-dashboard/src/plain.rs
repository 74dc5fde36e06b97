//! Progress as plain lines: one per logged step, and a table row per epoch.

use std::io::{self, Write};

use rekindle_train::events::{Evaluation, Event, Events, Finish, Load, Start, Step};

use crate::sink::{FirstError, Sink};

/// Writes progress for people, without colors or cursor movements.
#[derive(Debug)]
pub struct PlainLines<W> {
    writer: W,
    error: FirstError,
    log_every: usize,
    /// Planned steps.
    steps: usize,
    /// Columns of the table's metrics, once its header is written.
    columns: Option<Vec<String>>,
    /// Seconds of the steps after the first one, and how many.
    warm: (f64, usize),
}

impl<W: Write> PlainLines<W> {
    /// Writes every `log_every`-th step, and all else.
    pub fn new(writer: W, log_every: usize) -> Self {
        Self {
            writer,
            error: FirstError::default(),
            log_every,
            steps: 0,
            columns: None,
            warm: (0.0, 0),
        }
    }

    fn line(&mut self, text: &str) {
        let writer = &mut self.writer;
        self.error.guard(|| {
            writeln!(writer, "{text}")?;
            writer.flush()
        });
    }

    fn start(&mut self, start: &Start) {
        self.steps = start.steps;
        self.line(&format!("run {}", start.run));
        self.line(&format!(
            "training {} of {} parameters of {} on {}",
            grouped(start.trainable_parameters),
            grouped(start.parameters),
            start.model,
            start.backend,
        ));
        self.line(&format!(
            "memory for weights, gradients and optimizer: {:.1} MB; activations come on top",
            start.state_bytes as f64 / 1e6,
        ));
    }

    fn load(&mut self, load: &Load) {
        let Load {
            loaded,
            fresh,
            replaced,
            unused,
        } = load;
        self.line(&format!("loaded {} tensors of the base", loaded.len()));
        for (what, names) in [("made from the seed", fresh), ("unused", unused)] {
            if !names.is_empty() {
                self.line(&format!("{what}: {}", names.join(", ")));
            }
        }
        for mismatch in replaced {
            self.line(&format!(
                "warning: the head is made anew, the base's differs: {mismatch}"
            ));
        }
    }

    fn step(&mut self, step: &Step) {
        if step.step > 1 {
            self.warm.0 += step.seconds;
            self.warm.1 += 1;
        }
        if !step.step.is_multiple_of(self.log_every) && step.step != self.steps {
            return;
        }
        let width = self.steps.to_string().len();
        let left = self.steps.saturating_sub(step.step);
        let eta = match self.warm {
            (_, 0) => String::new(),
            (seconds, count) => {
                format!("  {} left", duration(seconds / count as f64 * left as f64))
            }
        };
        self.line(&format!(
            "step {:>width$}/{}  loss {:.4}  rate {:.2e}  norm {:.3}  {} tok/s{eta}",
            step.step,
            self.steps,
            step.loss,
            step.learning_rate,
            step.grad_norm,
            grouped(step.tokens_per_second as usize),
        ));
    }

    /// A row of the table of epochs, under its header when it is the first one.
    fn epoch(&mut self, epoch: &Evaluation) {
        if self.columns.is_none() && !epoch.metrics.is_empty() {
            self.columns = Some(epoch.metrics.keys().cloned().collect());
        }
        let columns = self.columns.clone().unwrap_or_default();
        let header = columns.iter().fold(
            format!(
                "{:>6} {:>7} {:>10} {:>10}",
                "epoch", "step", "train loss", "valid loss"
            ),
            |line, name| format!("{line} {name:>width$}", width = name.len().max(8)),
        );
        self.line(&format!("{header} {:>8} {:>9}", "seconds", "tok/s"));
        let valid = epoch
            .valid_loss
            .map_or("-".to_owned(), |loss| format!("{loss:.4}"));
        let row = columns.iter().fold(
            format!(
                "{:>6.2} {:>7} {:>10.4} {valid:>10}",
                epoch.epoch, epoch.step, epoch.train_loss
            ),
            |line, name| {
                let value = epoch.metrics.get(name).and_then(serde_json::Value::as_f64);
                let value = value.map_or("-".to_owned(), |value| format!("{value:.4}"));
                format!("{line} {value:>width$}", width = name.len().max(8))
            },
        );
        let best = if epoch.is_best { "  best" } else { "" };
        let speed = grouped(epoch.tokens_per_second as usize);
        self.line(&format!("{row} {:>8.1} {speed:>9}{best}", epoch.seconds));
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        let Some(loss) = evaluation.valid_loss else {
            return;
        };
        let metrics =
            evaluation
                .metrics
                .iter()
                .take(1)
                .fold(String::new(), |line, (name, value)| {
                    let value = value.as_f64().unwrap_or(f64::NAN);
                    format!("{line}  {name} {value:.4}")
                });
        let best = if evaluation.is_best { "  best" } else { "" };
        self.line(&format!(
            "evaluation at step {}: loss {loss:.4}{metrics}{best}",
            evaluation.step
        ));
    }

    fn finish(&mut self, finish: &Finish) {
        let state = if finish.is_interrupted {
            "stopped"
        } else {
            "finished"
        };
        let best = match (&finish.metric, finish.best) {
            (Some(metric), Some(best)) => {
                format!(", best {metric} {best:.4} at step {}", finish.best_step)
            }
            _ => String::new(),
        };
        self.line(&format!(
            "{state} after {} steps in {} (first step {:.1} s){best}",
            finish.steps,
            duration(finish.seconds),
            finish.first_step_seconds,
        ));
    }
}

impl<W: Write> Events for PlainLines<W> {
    fn emit(&mut self, event: Event) {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Load(load) => self.load(&load),
            Event::Step(step) => self.step(&step),
            Event::Evaluation(evaluation) => self.evaluation(&evaluation),
            Event::Epoch(epoch) => self.epoch(&epoch),
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            Event::Finish(finish) => self.finish(&finish),
        }
    }
}

impl<W: Write> Sink for PlainLines<W> {
    fn failure(&self) -> Option<&io::Error> {
        self.error.get()
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds as `1:02:03` or `2:03`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}
