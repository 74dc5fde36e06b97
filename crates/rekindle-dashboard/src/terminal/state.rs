//! What a run told so far, as much of it as a screen can show.

use std::collections::VecDeque;

use rekindle_train::events::{End, Evaluation, Event, Finish, Load, Skip, Split, Start, Step};
use serde_json::Value;

use super::clock::Clock;
use super::series::Series;
use super::text::{Unit, harmless};

/// As many notes are kept; the count goes on.
const MOST_NOTES: usize = 100;

/// As many rows of a batch are named.
const NAMED_ROWS: usize = 8;

pub(super) const LOSS: &str = "loss";

/// Curves of one number.
#[derive(Debug, Default)]
pub(super) struct Chart {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// A point per step.
    pub(super) train: Series,
    /// A point per evaluation.
    pub(super) valid: Series,
}

/// A row of the table of epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) epoch: f64,
    pub(super) step: usize,
    pub(super) train_loss: Option<f64>,
    pub(super) valid_loss: Option<f64>,
    pub(super) metrics: Vec<(String, f64)>,
    pub(super) seconds: f64,
}

/// What the run is doing.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Phase {
    #[default]
    Preparing,
    Training,
    Ended(End),
    Failed(String),
}

/// The best weights so far.
#[derive(Debug)]
pub(super) struct Best {
    pub(super) step: usize,
    pub(super) value: Option<(String, f64)>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) run: String,
    /// Task, model, backend: what is known of them.
    pub(super) about: Vec<String>,
    pub(super) phase: Phase,
    pub(super) step: usize,
    /// Planned steps; 0 where nobody knows.
    pub(super) steps: usize,
    pub(super) epoch: f64,
    pub(super) epochs: usize,
    pub(super) charts: Vec<Chart>,
    pub(super) rows: Vec<Row>,
    /// The last evaluation, until its epoch ends.
    pub(super) latest: Option<Row>,
    pub(super) best: Option<Best>,
    /// Step of the last checkpoint.
    pub(super) saved: Option<usize>,
    /// What is no number, by name.
    pub(super) texts: Vec<(String, String)>,
    /// What the user should know, the newest first.
    pub(super) notes: VecDeque<String>,
    pub(super) note_count: usize,
    pub(super) clock: Clock,
    /// Name of the number that chooses the best weights.
    metric: Option<String>,
}

impl State {
    /// Takes in what happened at `now`, in seconds since the dashboard began.
    pub(super) fn apply(&mut self, event: &Event, now: f64) {
        match event {
            Event::Start(start) => self.start(start, now),
            Event::Load(load) => self.load(load),
            Event::Resume(resume) => {
                self.phase = Phase::Preparing;
                self.step = resume.step;
                self.clock.resume(now);
            }
            Event::Step(step) => self.take_step(step, now),
            Event::Skip(skip) => self.skip(skip),
            Event::Evaluation(evaluation) => {
                self.clock.evaluation(evaluation.step, evaluation.seconds);
                self.latest = Some(self.score(evaluation));
            }
            Event::Epoch(epoch) => {
                let row = self.score(epoch);
                self.rows.push(row);
                self.latest = None;
            }
            Event::Checkpoint(checkpoint) => self.saved = Some(checkpoint.step),
            // Texts of any length are for the page and the log.
            Event::Sample(_) => {}
            Event::Split(split) => self.split(split),
            Event::Warning { message } => self.note(message),
            Event::Failure { message } => {
                self.phase = Phase::Failed(harmless(message));
                self.clock.stop(now);
            }
            Event::Finish(finish) => self.finish(finish),
        }
    }

    fn start(&mut self, start: &Start, now: f64) {
        self.run = harmless(&start.run);
        self.about = [&start.model, &start.task, &start.backend]
            .map(|text| harmless(text))
            .into();
        self.phase = Phase::Preparing;
        (self.steps, self.epochs) = (start.steps, start.epochs);
        self.metric.clone_from(&start.metric);
        self.clock.start(now);
    }

    fn load(&mut self, load: &Load) {
        for mismatch in &load.replaced {
            self.note(&format!("the head is made anew: {mismatch}"));
        }
    }

    fn take_step(&mut self, step: &Step, now: f64) {
        self.phase = Phase::Training;
        (self.step, self.epoch) = (step.step, step.epoch);
        let is_warm = self.clock.step(step.seconds, now);
        let at = step.step as f64;
        self.chart(LOSS, Unit::None).train.push(at, step.loss);
        let rate = self.chart("learning rate", Unit::None);
        rate.train.push(at, step.learning_rate);
        let norm = self.chart("gradient norm", Unit::None);
        norm.train.push(at, step.grad_norm);
        let speed = self.chart("tokens/s", Unit::Count);
        if is_warm {
            speed.train.push(at, step.tokens_per_second);
        }
        if let Some(bytes) = step.memory_bytes {
            let memory = self.chart("memory", Unit::Bytes);
            memory.train.push(at, bytes as f64);
        }
        if let Some(accuracy) = step.accuracy {
            self.chart("accuracy", Unit::None).train.push(at, accuracy);
        }
    }

    /// Draws the numbers of an evaluation or of an epoch; the two often say the same.
    fn score(&mut self, evaluation: &Evaluation) -> Row {
        let numbers = evaluation.metrics.iter();
        let metrics: Vec<(String, f64)> = numbers
            .filter_map(|(name, value)| Some((harmless(name), Value::as_f64(value)?)))
            .collect();
        let row = Row {
            epoch: evaluation.epoch,
            step: evaluation.step,
            train_loss: evaluation.train_loss,
            valid_loss: evaluation.valid_loss,
            metrics,
            seconds: evaluation.seconds,
        };
        self.draw_row(&row);
        if evaluation.is_best {
            self.best = Some(Best {
                step: row.step,
                value: self.chosen_by(&row),
            });
        }
        row
    }

    /// Adds an evaluation's numbers to the charts, once for a step.
    pub(super) fn draw_row(&mut self, row: &Row) {
        let at = row.step as f64;
        let loss = row.valid_loss.map(|loss| (LOSS, loss));
        let metrics = row.metrics.iter().map(|(name, value)| (&**name, *value));
        for (name, value) in loss.into_iter().chain(metrics) {
            let curve = &mut self.chart(name, Unit::None).valid;
            if curve.last().is_none_or(|(step, _)| step < at) {
                curve.push(at, value);
            }
        }
    }

    fn chosen_by(&self, row: &Row) -> Option<(String, f64)> {
        let metric = self.metric.as_ref()?;
        let number = row.metrics.iter().find(|(name, _)| name == metric);
        number
            .cloned()
            .or_else(|| Some((harmless(metric), row.valid_loss?)))
    }

    fn skip(&mut self, skip: &Skip) {
        (self.step, self.epoch) = (skip.step, skip.epoch);
        let named = skip.rows.iter().take(NAMED_ROWS);
        let rows: Vec<String> = named.map(usize::to_string).collect();
        let more = match skip.rows.len().saturating_sub(NAMED_ROWS) {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        self.note(&format!(
            "step {} left out, the {} is {}: rows {}{more}",
            skip.step,
            skip.what,
            skip.value,
            rows.join(", "),
        ));
    }

    fn split(&mut self, split: &Split) {
        self.note(&format!(
            "the device ran out of memory: {} rows a forward pass from step {} on",
            split.batch_size,
            split.step + 1,
        ));
    }

    fn finish(&mut self, finish: &Finish) {
        self.phase = Phase::Ended(finish.end);
        self.step = finish.steps;
        self.clock.end(finish.seconds);
    }

    pub(super) fn note(&mut self, message: &str) {
        self.notes.push_front(harmless(message));
        self.notes.truncate(MOST_NOTES);
        self.note_count += 1;
    }

    /// The chart of that name, made where it is new.
    pub(super) fn chart(&mut self, name: &str, unit: Unit) -> &mut Chart {
        let name = harmless(name);
        let known = self.charts.iter().position(|chart| chart.name == name);
        let index = known.unwrap_or_else(|| {
            self.charts.push(Chart {
                name,
                unit,
                ..Chart::default()
            });
            self.charts.len() - 1
        });
        &mut self.charts[index]
    }

    /// Share of the run that is done; absent where nobody knows.
    pub(super) fn done(&self) -> Option<f64> {
        (self.steps > 0).then(|| (self.step as f64 / self.steps as f64).min(1.0))
    }

    pub(super) fn seconds_left(&self) -> Option<f64> {
        let is_over = matches!(self.phase, Phase::Ended(_) | Phase::Failed(_));
        if self.steps == 0 || is_over {
            return None;
        }
        self.clock.left(self.steps.saturating_sub(self.step))
    }
}
