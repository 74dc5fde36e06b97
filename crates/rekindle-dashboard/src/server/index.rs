//! The list of runs as a page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer;
use super::watch::Watch;
use crate::format::{duration, metric, moment, number};
use crate::page::{Page, name, scrollable};
use crate::report::sections::state;
use crate::runs::RunSummary;

pub(super) async fn page(watch: State<Arc<Watch>>) -> Response {
    answer(watch.list().map(|runs| render(&runs)))
}

fn render(runs: &[RunSummary]) -> String {
    let body = html! {
        header { p.eyebrow { "Rekindle" } h1 { "Runs" } }
        section {
            @if runs.is_empty() { p.note { "There are no runs in this folder yet." } }
            @else { (scrollable("Runs", &table(runs))) }
        }
    };
    let page = Page {
        title: "Runs · Rekindle".into(),
        body,
        charts: Vec::new(),
        cursor: None,
    };
    page.render()
}

fn table(runs: &[RunSummary]) -> Markup {
    html! {
        table {
            thead { tr {
                th.left scope="col" { "Run" } th.left scope="col" { "State" } th.left scope="col" { "Task" }
                th.left scope="col" { "Model" } th scope="col" { "Best" } th scope="col" { "Steps" }
                th scope="col" { "Duration" } th scope="col" { "Started, UTC" }
            } }
            tbody { @for run in runs { tr {
                th.left scope="row" { a href=(link(&run.name)) { (name(&run.name)) } }
                td.left { (state(run.state)) }
                td.left { (name(&run.task)) } td.left.model title=(run.model) { (name(&run.model)) }
                td { @match &run.best {
                    Some(best) => { span.note { (metric(&best.metric)) " " } (number(Some(best.value))) }
                    None => "–",
                } }
                td { (run.progress()) } td { (duration(run.seconds)) }
                td { (run.started.map_or("–".to_owned(), moment).trim_end_matches(" UTC")) }
            } } }
        }
    }
}

fn link(name: &str) -> String {
    format!("/runs/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}
