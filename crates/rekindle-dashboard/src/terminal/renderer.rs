//! The dashboard of any learner of burn-train.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::Ordering;

use burn_train::LearnerSummary;
use burn_train::metric::{MetricDefinition, MetricEntry, MetricId, NumericEntry};
use burn_train::renderer::{
    EvaluationName, EvaluationProgress, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining, ProgressType, TrainingProgress,
};
use rekindle_train::events::End;

use super::Terminal;
use super::state::{Best, LOSS, Phase, Row, State};
use super::text::{Unit, harmless, number};

/// What the state does not know of a learner that tells metrics and progress, not events.
#[derive(Debug, Default)]
pub(super) struct Learner {
    /// Names of the metrics.
    names: HashMap<MetricId, String>,
    /// Metrics of a batch, until its progress is told.
    batch: Vec<(String, NumericEntry)>,
    train: Means,
    valid: Means,
    /// Number of the epoch, from 1; 0 before the first.
    epoch: usize,
    /// When the last batch ended.
    last: f64,
}

/// Names, weighted sums and weights of an epoch, in the order in which the metrics came.
#[derive(Debug, Default)]
struct Means(Vec<(String, f64, f64)>);

impl Means {
    fn add(&mut self, name: &str, entry: &NumericEntry) {
        let (value, count) = match entry {
            NumericEntry::Value(value) => (*value, 1.0),
            NumericEntry::Aggregated {
                aggregated_value,
                count,
            } => (*aggregated_value, *count as f64),
        };
        match self.0.iter_mut().find(|(known, ..)| known == name) {
            Some((_, sum, weight)) => {
                *sum += value * count;
                *weight += count;
            }
            None => self.0.push((name.to_owned(), value * count, count)),
        }
    }

    fn each(&self) -> impl Iterator<Item = (&str, f64)> {
        let entries = self.0.iter();
        entries.map(|(name, sum, weight)| (&**name, sum / weight))
    }

    fn get(&self, wanted: &str) -> Option<f64> {
        self.each()
            .find_map(|(name, mean)| (name == wanted).then_some(mean))
    }
}

impl Learner {
    /// Curves have lower-case names, so that the loss is the loss.
    fn register(&mut self, definition: MetricDefinition, state: &mut State, now: f64) {
        if state.step == 0 {
            state.clock.start(now);
            self.last = now;
        }
        let name = harmless(&definition.name.to_lowercase());
        self.names.insert(definition.metric_id, name);
    }

    fn name(&self, entry: &MetricEntry) -> String {
        let known = self.names.get(&entry.metric_id);
        known.map_or_else(|| format!("{:?}", entry.metric_id), Clone::clone)
    }

    /// Keeps a number for when its progress is told, and shows what is no number.
    fn take(&mut self, metric: MetricState, state: &mut State) {
        match metric {
            MetricState::Numeric(entry, value) => self.batch.push((self.name(&entry), value)),
            MetricState::Generic(entry) => {
                say(state, self.name(&entry), &entry.serialized_entry.formatted);
            }
        }
    }

    fn train(&mut self, progress: &TrainingProgress, state: &mut State, now: f64) {
        let (epoch, epochs) = (
            progress.global_progress.items_processed,
            progress.global_progress.items_total,
        );
        if epoch != self.epoch {
            self.end_epoch(state);
            self.epoch = epoch;
        }
        let (share, batches) = batches(progress);
        if state.step == 0 {
            state.step = epoch.saturating_sub(1) * batches;
        }
        state.step += 1;
        state.steps = (epochs * batches).max(state.step);
        state.epochs = epochs;
        state.epoch = epoch.saturating_sub(1) as f64 + share;
        state.phase = Phase::Training;
        state.clock.step(now - self.last, now);
        self.last = now;
        for (name, value) in std::mem::take(&mut self.batch) {
            let at = state.step as f64;
            let curve = &mut state.chart(&name, Unit::None).train;
            curve.push(at, value.current());
            self.train.add(&name, &value);
        }
    }

    fn validate(&mut self, state: &mut State, now: f64) {
        for (name, value) in std::mem::take(&mut self.batch) {
            self.valid.add(&name, &value);
        }
        state.clock.evaluation(state.step, now - self.last);
        self.last = now;
        state.latest = Some(self.row(state));
    }

    fn row(&self, state: &State) -> Row {
        let metrics = self.valid.each().filter(|(name, _)| *name != LOSS);
        let earlier: f64 = state.rows.iter().map(|row| row.seconds).sum();
        Row {
            epoch: state.epoch,
            step: state.step,
            train_loss: self.train.get(LOSS),
            valid_loss: self.valid.get(LOSS),
            metrics: metrics
                .map(|(name, mean)| (name.to_owned(), mean))
                .collect(),
            seconds: state.clock.elapsed(self.last) - earlier,
        }
    }

    /// Burn tells no end of an epoch: it ended when the next one begins, or the training.
    fn end_epoch(&mut self, state: &mut State) {
        if self.epoch == 0 {
            return;
        }
        let row = self.row(state);
        let loss = row.valid_loss.or(row.train_loss);
        let known = state.best.as_ref().and_then(|best| best.value.as_ref());
        if let Some(loss) = loss
            && known.is_none_or(|(_, best)| loss < *best)
        {
            state.best = Some(Best {
                step: row.step,
                value: Some((LOSS.to_owned(), loss)),
            });
        }
        state.draw_row(&row);
        state.rows.push(row);
        state.latest = None;
        (self.train, self.valid) = (Means::default(), Means::default());
    }
}

/// The share of an epoch that is done, and the number of batches in it.
fn batches(progress: &TrainingProgress) -> (f64, usize) {
    let Some(items) = &progress.progress else {
        return (0.0, 0);
    };
    let share = items.items_processed as f64 / items.items_total.max(1) as f64;
    let iteration = progress.iteration.unwrap_or(items.items_processed) as f64;
    let batches = if share > 0.0 { iteration / share } else { 0.0 };
    (share, batches.ceil() as usize)
}

/// Sets a text beside the numbers.
fn say(state: &mut State, name: String, text: &str) {
    let text = harmless(text);
    match state.texts.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = text,
        None => state.texts.push((name, text)),
    }
}

impl MetricsRendererTraining for Terminal {
    fn update_train(&mut self, metric: MetricState) {
        let learner = &mut self.learner;
        self.shared.update(|state, _| learner.take(metric, state));
    }

    fn update_valid(&mut self, metric: MetricState) {
        self.update_train(metric);
    }

    fn render_train(&mut self, progress: TrainingProgress, _: Vec<ProgressType>) {
        let learner = &mut self.learner;
        self.shared
            .update(|state, now| learner.train(&progress, state, now));
    }

    fn render_valid(&mut self, _: TrainingProgress, _: Vec<ProgressType>) {
        let learner = &mut self.learner;
        self.shared
            .update(|state, now| learner.validate(state, now));
    }

    /// Closes the dashboard, unless that is left to the caller, and then writes the summary to standard
    /// error.
    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        let end = if self.shared.is_stopping.load(Ordering::Relaxed) {
            End::Interrupted
        } else {
            End::Completed
        };
        let learner = &mut self.learner;
        self.shared.update(|state, now| {
            learner.end_epoch(state);
            state.phase = Phase::Ended(end);
            state.clock.stop(now);
        });
        self.end(summary);
        Ok(())
    }
}

impl Terminal {
    fn end(&mut self, summary: Option<LearnerSummary>) {
        self.farewell = summary.map(|summary| summary.to_string());
        if !self.stays_open {
            self.close();
        }
    }
}

impl MetricsRendererEvaluation for Terminal {
    fn update_test(&mut self, name: EvaluationName, metric: MetricState) {
        let learner = &self.learner;
        let (entry, text) = match metric {
            MetricState::Numeric(entry, value) => (entry, number(value.current())),
            MetricState::Generic(entry) => {
                let text = entry.serialized_entry.formatted.clone();
                (entry, text)
            }
        };
        let name = harmless(&format!("{name} {}", learner.name(&entry)));
        self.shared.update(|state, _| say(state, name, &text));
    }

    fn render_test(&mut self, progress: EvaluationProgress, _: Vec<ProgressType>) {
        let items = progress.progress;
        let text = format!("{}/{}", items.items_processed, items.items_total);
        self.shared
            .update(|state, _| say(state, "tested".to_owned(), &text));
    }

    fn on_test_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        self.end(summary);
        Ok(())
    }
}

impl MetricsRenderer for Terminal {
    fn manual_close(&mut self) {
        self.stays_open = true;
    }

    fn register_metric(&mut self, definition: MetricDefinition) {
        let learner = &mut self.learner;
        self.shared
            .update(|state, now| learner.register(definition, state, now));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::data::dataloader::Progress;
    use burn_train::metric::{MetricAttributes, SerializedEntry};

    use super::*;

    fn id(name: &str) -> MetricId {
        MetricId::new(Arc::new(name.to_owned()))
    }

    fn learner(state: &mut State) -> Learner {
        let mut learner = Learner::default();
        for name in ["Loss", "Accuracy", "Note"] {
            let definition = MetricDefinition {
                metric_id: id(name),
                name: name.to_owned(),
                description: None,
                attributes: MetricAttributes::None,
            };
            learner.register(definition, state, 0.0);
        }
        learner
    }

    fn entry(name: &str, text: &str) -> MetricEntry {
        let text = text.to_owned();
        MetricEntry::new(id(name), SerializedEntry::new(text.clone(), text))
    }

    fn metric(name: &str, value: f64, count: usize) -> MetricState {
        let value = NumericEntry::Aggregated {
            aggregated_value: value,
            count,
        };
        MetricState::Numeric(entry(name, ""), value)
    }

    fn progress(epoch: usize, iteration: usize) -> TrainingProgress {
        TrainingProgress {
            // Batches of 8, the last one of 4.
            progress: Some(Progress::new((iteration * 8).min(20), 20)),
            global_progress: Progress::new(epoch, 2),
            iteration: Some(iteration),
        }
    }

    #[test]
    fn a_learner_fills_the_same_charts_and_table() {
        let mut state = State::default();
        let mut learner = learner(&mut state);
        let mut now = 0.0;
        for epoch in 1..=2 {
            for (iteration, count) in [(1, 8), (2, 8), (3, 4)] {
                now += 1.0;
                let loss = 1.0 / (epoch * iteration) as f64;
                learner.take(metric("Loss", loss, count), &mut state);
                learner.train(&progress(epoch, iteration), &mut state, now);
                assert_eq!(state.steps, 6);
            }
            now += 1.0;
            learner.take(metric("Loss", 0.5 * epoch as f64, 10), &mut state);
            learner.take(metric("Accuracy", 0.75, 10), &mut state);
            learner.validate(&mut state, now);
            assert_eq!(super::super::table::rows(&state), epoch);
        }
        learner.end_epoch(&mut state);
        assert_eq!((state.step, state.epoch, state.epochs), (6, 2.0, 2));
        let loss = &state.charts[0];
        assert_eq!((&*loss.name, loss.train.points().len()), ("loss", 6));
        assert_eq!(loss.valid.points(), [(3.0, 0.5), (6.0, 1.0)]);
        assert_eq!(state.charts[1].valid.points(), [(3.0, 0.75), (6.0, 0.75)]);
        let mean = (8.0 + 8.0 / 2.0 + 4.0 / 3.0) / 20.0;
        assert!((state.rows[0].train_loss.unwrap() - mean).abs() < 1e-12);
        assert_eq!(state.rows[1].seconds, 4.0);
        assert_eq!(state.best.as_ref().unwrap().step, 3);
    }

    #[test]
    fn what_is_no_number_is_shown_as_it_is() {
        let mut state = State::default();
        let mut learner = learner(&mut state);
        for text in ["old", "new\u{1b}[2J"] {
            let note = MetricState::Generic(entry("Note", text));
            learner.take(note, &mut state);
        }
        let expected = ("note".to_owned(), "new\u{fffd}[2J".to_owned());
        assert_eq!(state.texts, [expected]);
    }

    #[test]
    fn a_learner_that_goes_on_counts_on() {
        let mut state = State::default();
        let mut learner = learner(&mut state);
        learner.train(&progress(2, 1), &mut state, 1.0);
        assert_eq!((state.step, state.steps), (4, 6));
    }
}
