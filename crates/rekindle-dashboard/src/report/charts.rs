//! The curves of a run.

use rekindle_train::scores::is_higher_better;

use crate::format::{capitalized, metric};
use crate::page::chart::{Axis, Chart, Point, Series, Style, Unit, smoothed};
use crate::record::{RunRecord, Scores, StepRecord};

/// Colors of the palette by what they stand for.
const TRAIN: usize = 0;
const VALID: usize = 1;
const OTHER: usize = 2;

pub(super) fn of(record: &RunRecord) -> Vec<Chart> {
    let mut charts = vec![loss(record), epochs(record)];
    charts.extend(metrics(record));
    let rate = points_of(&record.steps, |step| step.learning_rate);
    let rate = Series::new("learning rate", Style::Line, OTHER, rate).following("learning_rate");
    charts.push(chart("rate", "Learning rate", Unit::Rate, vec![rate]));
    let norm = noisy(record, "grad_norm", "", OTHER, |step| step.grad_norm);
    charts.push(chart("norm", "Gradient norm", Unit::Number, norm));
    let speed = noisy(record, "tokens_per_second", "", OTHER, |step| {
        step.tokens_per_second
    });
    charts.push(chart("speed", "Tokens per second", Unit::Count, speed));
    let memory = points_of(&record.steps, |step| step.memory_bytes);
    let memory =
        Series::new("resident memory", Style::Line, OTHER, memory).following("memory_bytes");
    charts.push(chart("memory", "Memory", Unit::Bytes, vec![memory]));
    let is_live = !record.is_over();
    charts.retain(|chart| {
        let is_empty = !chart.series.iter().any(Series::has_values);
        !is_empty || is_live && chart.series.iter().any(|series| series.follows.is_some())
    });
    charts
}

fn chart(
    id: impl Into<String>,
    title: impl Into<String>,
    unit: Unit,
    series: Vec<Series>,
) -> Chart {
    Chart {
        id: id.into(),
        title: title.into(),
        note: None,
        unit,
        x: Axis::Step,
        log: false,
        series,
    }
}

/// A point for each step.
pub(crate) fn points_of(steps: &[StepRecord], value: fn(&StepRecord) -> Option<f64>) -> Vec<Point> {
    let point = |step: &StepRecord| Point {
        step: step.step,
        epoch: step.epoch,
        value: value(step),
    };
    steps.iter().map(point).collect()
}

/// A point for each evaluation or epoch that has the number.
pub(crate) fn scores_of(scores: &[Scores], value: impl Fn(&Scores) -> Option<f64>) -> Vec<Point> {
    let point = |scores: &Scores| {
        value(scores).map(|value| Point {
            step: scores.step,
            epoch: scores.epoch,
            value: Some(value),
        })
    };
    scores.iter().filter_map(point).collect()
}

/// Steps on each side of one that a smoothed curve takes in.
pub(crate) fn smoothing_radius(record: &RunRecord) -> usize {
    let steps = record.start.steps.max(record.steps_taken());
    (steps / 80).clamp(3, 200)
}

/// What was measured at each step, pale, and its smoothed course before it.
fn noisy(
    record: &RunRecord,
    field: &'static str,
    name: &str,
    color: usize,
    value: fn(&StepRecord) -> Option<f64>,
) -> Vec<Series> {
    let points = points_of(&record.steps, value);
    let radius = smoothing_radius(record);
    let course = smoothed(&points, radius);
    let mut course =
        Series::new(format!("{name}smoothed"), Style::Line, color, course).following(field);
    course.smoothing = Some(1.0 / (radius + 1) as f64);
    let each =
        Series::new(format!("{name}each step"), Style::Faint, color, points).following(field);
    vec![each, course]
}

fn loss(record: &RunRecord) -> Chart {
    let mut series = noisy(record, "loss", "training, ", TRAIN, |step| step.loss);
    let valid = scores_of(&record.evaluations, |scores| scores.valid_loss);
    series.push(Series::new("validation", Style::Dots, VALID, valid));
    Chart {
        log: true,
        ..chart("loss", "Loss", Unit::Number, series)
    }
}

fn epochs(record: &RunRecord) -> Chart {
    let train = scores_of(&record.epochs, |epoch| epoch.train_loss);
    let valid = scores_of(&record.epochs, |epoch| epoch.valid_loss);
    let series = vec![
        Series::new("training", Style::Dots, TRAIN, train),
        Series::new("validation", Style::Dots, VALID, valid),
    ];
    Chart {
        x: Axis::Epoch,
        ..chart("epochs", "Loss by epoch", Unit::Number, series)
    }
}

/// A chart for each of the task's numbers, the best evaluation ringed in that which the run is judged by.
fn metrics(record: &RunRecord) -> Vec<Chart> {
    let mut names: Vec<&String> = Vec::new();
    for name in record.evaluations.iter().flat_map(|e| e.metrics.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let best = record.best().filter(|best| best.is_chosen);
    let of_name = |name: &&String| {
        let points = scores_of(&record.evaluations, |scores| scores.number(name));
        let mut series = Vec::new();
        if let Some(best) = best.as_ref().filter(|best| best.metric == **name) {
            let ring = points.iter().filter(|point| point.step == best.step);
            let ring = ring.copied().collect();
            series.push(Series::new("best", Style::Rings, TRAIN, ring));
        }
        series.insert(0, Series::new(metric(name), Style::Dots, VALID, points));
        let better = if is_higher_better(name) {
            "higher"
        } else {
            "lower"
        };
        Chart {
            note: Some(format!("validation, {better} is better")),
            ..chart(
                format!("metric-{name}"),
                capitalized(&metric(name)),
                Unit::Number,
                series,
            )
        }
    };
    names.iter().map(of_name).collect()
}
