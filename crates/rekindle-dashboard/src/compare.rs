//! Several runs beside each other: their curves, their numbers, and where their recipes differ.

use std::collections::BTreeSet;

use maud::{Markup, html};
use rekindle_train::scores::LOSS;

use crate::format::{capitalized, duration, grouped, metric, number};
use crate::page::chart::{Axis, Chart, Point, Series, Style, Unit, smoothed};
use crate::page::{Page, figure, name, scrollable};
use crate::record::RunRecord;
use crate::report::charts::{points_of, scores_of, smoothing_radius};
use crate::report::sections::state;
use crate::runs::{best, columns};

/// One page with the curves of all runs.
pub fn render(runs: &[RunRecord]) -> String {
    let charts = charts(runs);
    let body = html! {
        header {
            p.eyebrow { "Rekindle" }
            h1 { (runs.len()) " runs compared" }
        }
        section { (scrollable("Runs", &numbers(runs))) }
        section.curves.compared aria-label="Curves" {
            div.choice role="group" aria-label="Horizontal axis" {
                span.note { "Curves by" }
                button type="button" data-axis="step" { "step" }
                button type="button" data-axis="epoch" { "epoch" }
            }
            @for chart in charts.iter().take(1) { div.wide { (figure(chart)) } }
            div.grid { @for chart in charts.iter().skip(1) { (figure(chart)) } }
        }
        section aria-labelledby="recipes" {
            h2 id="recipes" { "Recipes" }
            (recipes(runs))
        }
    };
    let page = Page {
        title: format!("{} runs compared · Rekindle", runs.len()),
        body,
        charts,
        cursor: None,
    };
    page.render()
}

/// The numbers of all runs and where their recipes differ, as aligned columns.
pub fn table(runs: &[RunRecord]) -> String {
    let header = [
        "run",
        "state",
        "best",
        "at step",
        "train loss",
        "valid loss",
        "steps",
        "duration",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(runs.iter().map(|run| {
        let (train, valid) = run.last_losses();
        let judged = run.best();
        vec![
            run.name().to_owned(),
            run.state().to_string(),
            judged.as_ref().map_or("–".to_owned(), best),
            judged.map_or("–".to_owned(), |best| best.step.to_string()),
            number(train),
            number(valid),
            run.steps_taken().to_string(),
            duration(run.seconds()),
        ]
    }));
    let mut text = columns::align(&rows);
    let differences = differences(runs);
    if differences.is_empty() {
        return text + "\nthe recipes are the same\n";
    }
    let names = runs.iter().map(|run| run.name().to_owned());
    let mut rows = vec![["recipe".to_owned()].into_iter().chain(names).collect()];
    for (key, values) in differences {
        let values = values.into_iter().map(|value| value.unwrap_or("–".into()));
        rows.push([key].into_iter().chain(values).collect::<Vec<_>>());
    }
    text.push('\n');
    text + &columns::align(&rows)
}

/// The keys of the recipes whose values differ, with the value in each run.
fn differences(runs: &[RunRecord]) -> Vec<(String, Vec<Option<String>>)> {
    let recipes: Vec<_> = runs.iter().map(RunRecord::recipe_values).collect();
    let keys: BTreeSet<&String> = recipes.iter().flat_map(|recipe| recipe.keys()).collect();
    keys.into_iter()
        .map(|key| {
            let values = recipes.iter().map(|recipe| recipe.get(key).cloned());
            (key.clone(), values.collect::<Vec<_>>())
        })
        .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

/// Numbers of the palette's colors, the strong ones first.
const COLORS: [usize; 8] = [0, 1, 3, 4, 5, 6, 7, 2];

fn color(run: usize) -> usize {
    COLORS[run % COLORS.len()]
}

/// A dot in the color of a run's curves.
fn swatch(index: usize) -> Markup {
    html! { i.swatch.{ "c" (color(index)) } aria-hidden="true" {} }
}

fn numbers(runs: &[RunRecord]) -> Markup {
    html! {
        table {
            thead { tr {
                th.left scope="col" { "Run" } th.left scope="col" { "State" } th scope="col" { "Best" }
                th scope="col" { "At step" } th scope="col" { "Training loss" }
                th scope="col" { "Validation loss" } th scope="col" { "Steps" } th scope="col" { "Duration" }
            } }
            tbody { @for (index, run) in runs.iter().enumerate() {
                @let (train, valid) = run.last_losses();
                @let best = run.best();
                tr {
                    th.left scope="row" { (swatch(index)) (name(run.name())) }
                    td.left { (state(run.state())) }
                    td { @match &best {
                        Some(best) => { span.note { (metric(&best.metric)) " " } (number(Some(best.value))) }
                        None => "–",
                    } }
                    td { (best.map_or("–".to_owned(), |best| grouped(best.step))) }
                    td { (number(train)) } td { (number(valid)) }
                    td { (grouped(run.steps_taken())) } td { (duration(run.seconds())) }
                }
            } }
        }
    }
}

fn recipes(runs: &[RunRecord]) -> Markup {
    let differences = differences(runs);
    if differences.is_empty() {
        return html! { p.note { "The recipes are the same." } };
    }
    let table = html! {
        table {
            thead { tr {
                th.left scope="col" { "Key" }
                @for (index, run) in runs.iter().enumerate() {
                    th.left scope="col" { (swatch(index)) (name(run.name())) }
                }
            } }
            tbody { @for (key, values) in differences { tr {
                th.left scope="row" { (name(&key)) }
                @for value in values { td.left { (name(value.as_deref().unwrap_or("–"))) } }
            } } }
        }
    };
    scrollable("Differences of the recipes", &table)
}

fn charts(runs: &[RunRecord]) -> Vec<Chart> {
    let train = overlay(
        runs,
        "train",
        "Training loss, smoothed",
        Style::Line,
        |run| {
            smoothed(
                &points_of(&run.steps, |step| step.loss),
                smoothing_radius(run),
            )
        },
    );
    let valid = overlay(runs, "valid", "Validation loss", Style::Dots, |run| {
        scores_of(&run.evaluations, |scores| scores.valid_loss)
    });
    let mut charts = vec![Chart { log: true, ..train }, Chart { log: true, ..valid }];
    let mut names: Vec<&String> = Vec::new();
    for scores in runs.iter().flat_map(|run| &run.evaluations) {
        for known in scores.metrics.keys() {
            if known != LOSS && !names.contains(&known) {
                names.push(known);
            }
        }
    }
    charts.extend(names.into_iter().map(|known| {
        let title = capitalized(&metric(known));
        overlay(
            runs,
            &format!("metric-{known}"),
            &title,
            Style::Dots,
            |run| scores_of(&run.evaluations, |scores| scores.number(known)),
        )
    }));
    charts.retain(|chart| chart.series.iter().any(Series::has_values));
    charts
}

fn overlay(
    runs: &[RunRecord],
    id: &str,
    title: &str,
    style: Style,
    points: impl Fn(&RunRecord) -> Vec<Point>,
) -> Chart {
    let series = runs
        .iter()
        .enumerate()
        .map(|(index, run)| Series::new(run.name(), style, color(index), points(run)));
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        note: None,
        unit: Unit::Number,
        x: Axis::Step,
        log: false,
        series: series.collect(),
    }
}
