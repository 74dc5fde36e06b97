//! Progress as plain lines: one per logged step, and a table row per epoch.

use std::io::{self, Write};

use rekindle_train::events::{
    Checkpoint, End, Evaluation, Event, Events, Finish, Load, Sample, Skip, Split, Start, Step,
};

use crate::format::{clock, grouped};
use crate::sink::{FirstError, Sink};

/// No line is wider, as far as names allow.
const WIDTH: usize = 100;

/// The header of the table of epochs is written again when it is further above than this.
const HEADER_IN_SIGHT: usize = 20;

/// Writes progress for people, without colors or cursor movements.
#[derive(Debug)]
pub struct PlainLines<W> {
    writer: W,
    error: FirstError,
    log_every: usize,
    /// Planned steps.
    steps: usize,
    /// Names of the table's metrics, and lines since they were written as its header.
    header: Option<(Vec<String>, usize)>,
    /// An evaluation that the row of its epoch may still say all of.
    evaluation: Option<Evaluation>,
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
            header: None,
            evaluation: None,
            warm: (0.0, 0),
        }
    }

    fn line(&mut self, text: &str) {
        if let Some((_, lines)) = &mut self.header {
            *lines += 1;
        }
        let writer = &mut self.writer;
        self.error.guard(|| {
            writeln!(writer, "{text}")?;
            writer.flush()
        });
    }

    fn start(&mut self, start: &Start) {
        self.steps = start.steps;
        self.line(&format!("run {}", start.run));
        let share = 100.0 * start.trainable_parameters as f64 / start.parameters.max(1) as f64;
        self.line(&format!(
            "training {} of {} parameters ({share:.2} %) of {} on {}",
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
            adapted,
        } = load;
        let mut listed = fresh.as_slice();
        if loaded.is_empty() {
            // A model from scratch: a list of all its names tells nothing.
            self.line(&format!(
                "all {} tensors are made from the seed",
                fresh.len()
            ));
            listed = &[];
        } else {
            self.line(&format!("loaded {} tensors of the base", loaded.len()));
        }
        let lists = [
            ("made from the seed", listed),
            ("unused", unused),
            ("adapters on", adapted),
        ];
        for (what, names) in lists {
            for line in wrapped(what, names) {
                self.line(&line);
            }
        }
        for mismatch in replaced {
            self.line(&format!(
                "warning: the head is made anew, the base's differs: {mismatch}"
            ));
        }
    }

    /// Prompt and answer, a line each; line breaks are written as `\n`.
    fn sample(&mut self, sample: &Sample) {
        self.line(&format!("sample: {:?}", sample.prompt));
        self.line(&format!("     => {:?}", sample.completion));
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
                format!("  {} left", clock(seconds / count as f64 * left as f64))
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

    /// A row of the table of epochs, under its header where that is out of sight.
    fn epoch(&mut self, epoch: &Evaluation) {
        let columns: Vec<String> = epoch.metrics.keys().cloned().collect();
        let is_in_sight =
            |(known, lines): &(Vec<String>, usize)| *known == columns && *lines < HEADER_IN_SIGHT;
        if !self.header.as_ref().is_some_and(is_in_sight) {
            let metrics = columns
                .iter()
                .fold(String::new(), |line, name| format!("{line} {name:>7}"));
            self.line(&format!(
                "epoch   step train loss valid loss{metrics} seconds    tok/s"
            ));
            self.header = Some((columns.clone(), 0));
        }
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |x| format!("{x:.4}"));
        let metrics = columns.iter().fold(String::new(), |line, name| {
            let value = number(epoch.metrics[name].as_f64());
            format!("{line} {value:>width$}", width = name.len().max(7))
        });
        self.line(&format!(
            "{:>5.2} {:>6} {:>10} {:>10}{metrics} {:>7.1} {:>8}{}",
            epoch.epoch,
            epoch.step,
            number(epoch.train_loss),
            number(epoch.valid_loss),
            epoch.seconds,
            grouped(epoch.tokens_per_second as usize),
            if epoch.is_best { "  best" } else { "" },
        ));
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

    fn skip(&mut self, skip: &Skip) {
        let rows: Vec<String> = skip.rows.iter().map(usize::to_string).collect();
        self.line(&format!(
            "warning: step {} left out, the {} is {}: rows {}",
            skip.step,
            skip.what,
            skip.value,
            rows.join(", "),
        ));
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.line(&format!(
            "checkpoint {} ({:.1} MB in {:.1} s)",
            checkpoint.path,
            checkpoint.bytes as f64 / 1e6,
            checkpoint.seconds,
        ));
    }

    fn split(&mut self, split: &Split) {
        self.line(&format!(
            "warning: the device ran out of memory: from here on {} rows a forward pass, {} passes a step",
            split.batch_size, split.accumulate,
        ));
    }

    fn finish(&mut self, finish: &Finish) {
        let state = match finish.end {
            End::Completed => "finished",
            End::StoppedEarly => "stopped early",
            End::Interrupted => "interrupted",
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
            clock(finish.seconds),
            finish.first_step_seconds,
        ));
        if let Some([before, after]) = finish.general {
            self.line(&format!("general loss {before:.4} → {after:.4}"));
        }
    }
}

impl<W: Write> Events for PlainLines<W> {
    fn emit(&mut self, event: Event) {
        if let Some(evaluation) = self.evaluation.take() {
            let is_repeated =
                matches!(&event, Event::Epoch(epoch) if epoch.step == evaluation.step);
            if !is_repeated {
                self.evaluation(&evaluation);
            }
        }
        match event {
            Event::Start(start) => self.start(&start),
            Event::Load(load) => self.load(&load),
            Event::Step(step) => self.step(&step),
            Event::Evaluation(evaluation) => self.evaluation = Some(evaluation),
            Event::Epoch(epoch) => self.epoch(&epoch),
            Event::Resume(resume) => self.line(&format!("going on after step {}", resume.step)),
            Event::Skip(skip) => self.skip(&skip),
            Event::Checkpoint(checkpoint) => self.checkpoint(&checkpoint),
            Event::Sample(sample) => self.sample(&sample),
            Event::Split(split) => self.split(&split),
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            // The command that runs the training tells why it failed.
            Event::Failure { .. } => {}
            Event::Finish(finish) => self.finish(&finish),
        }
    }

    fn replay(&mut self, history: &[Event]) {
        // What is not told again is needed all the same.
        for event in history {
            if let Event::Start(start) = event {
                self.steps = start.steps;
            }
        }
    }
}

impl<W: Write> Sink for PlainLines<W> {
    fn failure(&self) -> Option<&io::Error> {
        self.error.get()
    }
}

/// Names after what they are, in as many lines as they need; no line without a name.
fn wrapped(what: &str, names: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        match lines.last_mut() {
            None => lines.push(format!("{what}: {name}")),
            Some(line) if line.len() + ", ,".len() + name.len() <= WIDTH => {
                *line += &format!(", {name}");
            }
            Some(line) => {
                line.push(',');
                lines.push(format!("  {name}"));
            }
        }
    }
    lines
}
