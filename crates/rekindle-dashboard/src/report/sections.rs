//! The parts of the page of a run that are text.

use maud::{Markup, html};

use super::classes;
use crate::format::{bytes, capitalized, duration, grouped, metric, moment, number};
use crate::page::chart::Chart;
use crate::page::{figure, name, scrollable};
use crate::record::{RunRecord, Scores, State};

/// Warnings beyond this number are counted only.
const MAX_WARNINGS: usize = 50;

pub(super) fn body(record: &RunRecord, charts: &[Chart]) -> Markup {
    html! {
        (header(record))
        (failure(record))
        (tiles(record))
        (warnings(record))
        (curves(charts))
        (epochs(record))
        (evaluations(record))
        (samples(record))
        @if let Some(scores) = record.detailed() { (classes::section(scores)) }
        (facts(record))
        (recipe(record))
        (footer(record))
    }
}

fn header(record: &RunRecord) -> Markup {
    let start = &record.start;
    let about = [&start.task, &start.model, &start.backend];
    html! {
        header {
            p.eyebrow { "Rekindle" span.live hidden { "live" } }
            div.title {
                h1 { (name(record.name())) }
                (state(record.state()))
            }
            p.about {
                @for text in about.into_iter().filter(|text| !text.is_empty()) { span { (name(text)) } }
                @if let Some(started) = record.started {
                    span { time datetime=(started) { (moment(started)) } }
                }
            }
            noscript { p.note { "The curves are drawn by a script in this file; the tables are complete without it." } }
        }
    }
}

pub(crate) fn state(state: State) -> Markup {
    html! {
        span.state.(state.name()) {
            (state)
            @if state == State::StoppedEarly { " early" }
        }
    }
}

fn failure(record: &RunRecord) -> Markup {
    let text = match (&record.failure, record.state()) {
        (Some(failure), _) => failure.clone(),
        (None, State::Crashed) => {
            "The process of this run is gone, and it did not say why.".to_owned()
        }
        _ => return html! {},
    };
    html! { p.failure role="alert" { (name(&text)) } }
}

fn tile(label: &str, value: Markup, note: &str) -> Markup {
    html! {
        div {
            dt { (label) }
            dd { (value) }
            @if !note.is_empty() { dd.note { (note) } }
        }
    }
}

fn tiles(record: &RunRecord) -> Markup {
    let (train, valid) = record.last_losses();
    let taken = record.steps_taken();
    let planned = record.start.steps;
    let of = if planned > 0 {
        format!("of {}", grouped(planned))
    } else {
        String::new()
    };
    let (speed, first) = record.speed();
    let first = first.map(|first| format!("first step {}", duration(first)));
    let left = record
        .seconds_left()
        .map(|left| format!("about {} left", duration(left)));
    let time = left.or(first).unwrap_or_default();
    html! {
        dl.tiles {
            @if let Some(best) = record.best() {
                @let note = format!("{} step {}", if best.is_chosen { "best, at" } else { "last, at" }, grouped(best.step));
                (tile(&capitalized(&metric(&best.metric)), html! { strong { (number(Some(best.value))) } }, &note))
            }
            (tile("Training loss", html! { (number(train)) }, ""))
            @if valid.is_some() { (tile("Validation loss", html! { (number(valid)) }, "")) }
            (tile("Steps", html! {
                (grouped(taken))
                @if planned > 0 { progress max=(planned) value=(taken.min(planned)) aria-label="steps taken" {} }
            }, &of))
            (tile("Duration", html! { (duration(record.seconds())) }, &time))
            @if let Some(speed) = speed { (tile("Tokens per second", html! { (grouped(speed as usize)) }, "")) }
        }
    }
}

fn warnings(record: &RunRecord) -> Markup {
    let count = record.warnings.len() + usize::from(record.unreadable > 0);
    if count == 0 {
        return html! {};
    }
    let hidden = record.warnings.len().saturating_sub(MAX_WARNINGS);
    html! {
        section.warnings aria-labelledby="warnings" {
            h2 id="warnings" { (count) @if count == 1 { " warning" } @else { " warnings" } }
            ul {
                @if record.unreadable > 0 { li { (record.unreadable) " lines of the log could not be read" } }
                @for warning in record.warnings.iter().take(MAX_WARNINGS) { li { (name(warning)) } }
                @if hidden > 0 { li { "and " (grouped(hidden)) " more, in the log" } }
            }
        }
    }
}

fn curves(charts: &[Chart]) -> Markup {
    let Some((first, others)) = charts.split_first() else {
        return html! {};
    };
    html! {
        section.curves aria-label="Curves" {
            div.wide { (figure(first)) }
            div.grid { @for chart in others { (figure(chart)) } }
        }
    }
}

/// The names of the numbers of evaluations, each once.
fn metric_names(scores: &[Scores]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for known in scores.iter().flat_map(|scores| scores.metrics.keys()) {
        if !names.contains(&known.as_str()) {
            names.push(known);
        }
    }
    names
}

fn epochs(record: &RunRecord) -> Markup {
    let best = record.best().filter(|best| best.is_chosen);
    // The best weights may come from the middle of an epoch.
    let best = best.and_then(|best| record.epochs.iter().position(|e| e.step >= best.step));
    scores_table("Epochs", "epochs", &record.epochs, best)
}

/// Evaluations inside of epochs; those at their ends are in the table of epochs.
fn evaluations(record: &RunRecord) -> Markup {
    let is_end = |scores: &Scores| record.epochs.iter().any(|epoch| epoch.step == scores.step);
    if record.evaluations.iter().all(is_end) {
        return html! {};
    }
    let best = record.best().filter(|best| best.is_chosen);
    let best = best.and_then(|best| record.evaluations.iter().position(|e| e.step == best.step));
    scores_table("Evaluations", "evaluations", &record.evaluations, best)
}

/// The answers to the recipe's prompts at the newest evaluation.
fn samples(record: &RunRecord) -> Markup {
    let Some(first) = record.samples.first() else {
        return html! {};
    };
    let table = html! {
        table.samples {
            thead { tr { th.left scope="col" { "Prompt" } th.left scope="col" { "Answer" } } }
            tbody { @for sample in &record.samples {
                tr { td.left { (name(&sample.prompt)) } td.left { (name(&sample.completion)) } }
            } }
        }
    };
    html! {
        section aria-labelledby="samples" {
            h2 id="samples" { "Samples after step " (grouped(first.step)) }
            (scrollable("Samples", &table))
        }
    }
}

fn scores_table(title: &str, id: &str, scores: &[Scores], best: Option<usize>) -> Markup {
    if scores.is_empty() {
        return html! {};
    }
    let names = metric_names(scores);
    let table = html! {
        table {
            thead { tr {
                th.left scope="col" { "Epoch" } th scope="col" { "Step" }
                th scope="col" { "Training loss" } th scope="col" { "Validation loss" }
                @for known in &names { th scope="col" { (name(&capitalized(&metric(known)))) } }
                th scope="col" { "Time" } th scope="col" { "Tokens/s" }
                th scope="col" { span.unseen { "Best" } }
            } }
            tbody { @for (index, row) in scores.iter().enumerate() {
                tr.best[best == Some(index)] {
                    th.left scope="row" { (epoch_number(row.epoch)) } td { (grouped(row.step)) }
                    td { (number(row.train_loss)) } td { (number(row.valid_loss)) }
                    @for known in &names { td { (number(row.number(known))) } }
                    td { (row.seconds.map_or("–".to_owned(), duration)) }
                    td { (row.tokens_per_second.map_or("–".to_owned(), |speed| grouped(speed as usize))) }
                    td { @if best == Some(index) { span.badge { "best" } } }
                }
            } }
        }
    };
    html! {
        section aria-labelledby=(id) { h2 id=(id) { (title) } (scrollable(title, &table)) }
    }
}

fn epoch_number(epoch: f64) -> String {
    if epoch.fract() < 0.005 {
        format!("{epoch:.0}")
    } else {
        format!("{epoch:.2}")
    }
}

fn facts(record: &RunRecord) -> Markup {
    let start = &record.start;
    let rows = [
        ("Training rows", start.train_rows),
        ("Validation rows", start.valid_rows),
    ];
    let parameters = format!(
        "{} of {}",
        grouped(start.trainable_parameters),
        grouped(start.parameters)
    );
    html! {
        div.columns {
            section aria-labelledby="data" {
                h2 id="data" { "Data" }
                dl.facts { @for (label, count) in rows { div { dt { (label) } dd { (grouped(count)) } } } }
                ul.plain { @for line in &start.data { li { (name(line)) } } }
            }
            section aria-labelledby="environment" {
                h2 id="environment" { "Environment" }
                dl.facts {
                    @if start.parameters > 0 { div { dt { "Trained parameters" } dd { (parameters) } } }
                    @if start.state_bytes > 0 {
                        div { dt { "Weights, gradients, optimizer" } dd { (bytes(start.state_bytes as f64)) } }
                    }
                    @if let Some(checkpoint) = record.checkpoints.last() {
                        div { dt { "Last checkpoint" }
                            dd { "step " (grouped(checkpoint.step)) ", " (bytes(checkpoint.bytes as f64)) } }
                    }
                    @for (key, value) in &start.environment { div { dt { (name(key)) } dd { (name(value)) } } }
                }
            }
        }
    }
}

fn recipe(record: &RunRecord) -> Markup {
    if record.recipe.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="recipe" {
            h2 id="recipe" { "Recipe" }
            pre tabindex="0" aria-labelledby="recipe" { code { (record.recipe) } }
        }
    }
}

fn footer(record: &RunRecord) -> Markup {
    html! {
        footer {
            @if let Some(updated) = record.updated {
                "State of " time datetime=(updated) { (moment(updated)) } ". "
            }
            "Losses are means over target tokens or rows. The gradient norm is taken before clipping."
        }
    }
}
