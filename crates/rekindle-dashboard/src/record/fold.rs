//! Events, one after the other, become a record.

use jiff::Timestamp;
use rekindle_train::events::{Event, Sample};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RunRecord;
use super::lines::{Head, Load, Message, Resume, Scores, Skip, Split, Start, StepRecord};

/// What a line of a step has among its first bytes, as our own logs write it.
const STEP_MARK: &[u8] = br#""event":"step""#;
const MARK_WITHIN: usize = 80;

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

impl RunRecord {
    pub(super) fn push_at(&mut self, event: &Event, time: Timestamp) {
        // Events hold strings, numbers and maps with text keys, all of which JSON can say.
        if let Ok(line) = serde_json::to_vec(&Line { time, event }) {
            self.push_line(&line);
        }
    }

    /// Takes whole lines of a log.
    pub(crate) fn push_lines(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            self.push_line(line);
        }
    }

    /// As [`Self::push_lines`], of steps in a row only the last one.
    pub(super) fn skim_lines(&mut self, lines: &[u8]) {
        let mut step = None;
        for line in lines.split(|byte| *byte == b'\n') {
            let mut start = line[..line.len().min(MARK_WITHIN)].windows(STEP_MARK.len());
            if start.any(|bytes| bytes == STEP_MARK) {
                step = Some(line);
            } else {
                step.take()
                    .into_iter()
                    .for_each(|step| self.push_line(step));
                self.push_line(line);
            }
        }
        if let Some(step) = step {
            self.push_line(step);
        }
    }

    fn push_line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if self.fold(line).is_err() {
            self.unreadable += 1;
        }
    }

    fn fold(&mut self, line: &[u8]) -> serde_json::Result<()> {
        let head: Head<'_> = serde_json::from_slice(line)?;
        let is_beginning = matches!(&*head.event, "start" | "resume");
        match &*head.event {
            "start" => self.start = parse::<Start>(line)?,
            "load" => self.load(&parse(line)?),
            "resume" => self.resume(parse::<Resume>(line)?.step),
            "step" => self.step(parse(line)?),
            "skip" => self.skip(&parse(line)?),
            "evaluation" => self.evaluation(parse(line)?),
            "epoch" => self.epochs.push(parse(line)?),
            "sample" => self.sample(parse(line)?),
            "checkpoint" => self.checkpoints.push(parse(line)?),
            "split" => self.split(&parse(line)?),
            "warning" => self.warnings.push(parse::<Message>(line)?.message),
            "failure" => self.failure = Some(parse::<Message>(line)?.message),
            "finish" => self.finish = Some(parse(line)?),
            _ => {}
        }
        if let Some(time) = head.time() {
            self.tick(time, is_beginning);
        }
        Ok(())
    }

    fn tick(&mut self, time: Timestamp, is_beginning: bool) {
        self.started.get_or_insert(time);
        if let Some(before) = self.updated.replace(time)
            && !is_beginning
        {
            self.elapsed += time.duration_since(before).as_secs_f64().max(0.0);
        }
    }

    fn load(&mut self, load: &Load) {
        self.warnings.extend(
            load.replaced
                .iter()
                .map(|mismatch| format!("the head is made anew, the base's differs: {mismatch}")),
        );
    }

    /// Forgets what came after the checkpoint, should the log still have it.
    fn resume(&mut self, step: usize) {
        self.steps.retain(|taken| taken.step <= step);
        self.evaluations.retain(|scores| scores.step <= step);
        self.epochs.retain(|scores| scores.step <= step);
        self.samples.retain(|sample| sample.step <= step);
        self.finish = None;
        self.failure = None;
    }

    fn step(&mut self, step: StepRecord) {
        while self.steps.last().is_some_and(|last| last.step >= step.step) {
            self.steps.pop();
        }
        self.steps.push(step);
    }

    fn skip(&mut self, skip: &Skip) {
        let rows: Vec<String> = skip.rows.iter().map(usize::to_string).collect();
        self.warnings.push(format!(
            "step {} left out, the {} is {}: rows {}",
            skip.step,
            skip.what,
            skip.value,
            rows.join(", "),
        ));
        self.step(StepRecord {
            step: skip.step,
            epoch: skip.epoch,
            ..StepRecord::default()
        });
    }

    /// Takes an evaluation; tables are kept of the best and of the last one only.
    fn evaluation(&mut self, scores: Scores) {
        let last = self.evaluations.len().saturating_sub(1);
        for (index, before) in self.evaluations.iter_mut().enumerate() {
            if index == last && !before.is_best || before.is_best && scores.is_best {
                before.details.clear();
            }
        }
        self.evaluations.push(scores);
    }

    /// Takes an answer; those of the newest evaluation are kept.
    fn sample(&mut self, sample: Sample) {
        self.samples.retain(|before| before.step == sample.step);
        self.samples.push(sample);
    }

    fn split(&mut self, split: &Split) {
        self.warnings.push(format!(
            "the device ran out of memory after step {}: from there on {} rows a forward pass, {} passes a step",
            split.step, split.batch_size, split.accumulate,
        ));
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(line)
}
