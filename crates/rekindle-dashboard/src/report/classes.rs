//! How the classes of an evaluation were told apart.

use maud::{Markup, html};
use serde_json::Value;

use crate::format::grouped;
use crate::page::{name, scrollable};
use crate::record::Scores;

/// More classes than this make no matrix that can be read.
const MAX_MATRIX: usize = 30;
/// Pairs of classes that are told where there is no matrix.
const MAX_PAIRS: usize = 20;

/// The tables behind an evaluation, read as far as they have the shape that they should have.
struct Tables<'a> {
    labels: Vec<&'a str>,
    classes: Vec<&'a Value>,
    /// Rows by `[expected][predicted]`.
    confusion: Vec<Vec<u64>>,
}

impl<'a> Tables<'a> {
    fn of(scores: &'a Scores) -> Self {
        let list = |key: &str| scores.details.get(key).and_then(Value::as_array);
        let labels = list("labels").into_iter().flatten();
        let counts = |row: &Value| -> Vec<u64> {
            let row = row.as_array().into_iter().flatten();
            row.map(|count| count.as_u64().unwrap_or(0)).collect()
        };
        Self {
            labels: labels.map(|label| label.as_str().unwrap_or("?")).collect(),
            classes: list("classes").into_iter().flatten().collect(),
            confusion: list("confusion")
                .into_iter()
                .flatten()
                .map(counts)
                .collect(),
        }
    }

    fn is_square(&self) -> bool {
        let size = self.labels.len();
        size > 0
            && self.confusion.len() == size
            && self.confusion.iter().all(|row| row.len() == size)
    }
}

pub(super) fn section(scores: &Scores) -> Markup {
    let tables = Tables::of(scores);
    let is_matrix = tables.is_square() && tables.labels.len() <= MAX_MATRIX;
    let at = if scores.is_best {
        "best weights"
    } else {
        "last evaluation"
    };
    html! {
        section aria-labelledby="classes" {
            h2 id="classes" { "Classes" }
            p.note { "Validation rows, " (at) ", step " (grouped(scores.step)) }
            div.classes {
                @if is_matrix { (matrix(&tables)) }
                @else if tables.is_square() { (pairs(&tables)) }
                (per_class(&tables))
            }
        }
    }
}

fn matrix(tables: &Tables<'_>) -> Markup {
    let table = html! {
        table.matrix {
            caption { "Rows are the expected classes, columns the predicted ones" }
            thead { tr {
                td {}
                @for label in &tables.labels { th scope="col" title=(label) { span { (name(label)) } } }
            } }
            tbody { @for (row, (label, counts)) in tables.labels.iter().zip(&tables.confusion).enumerate() {
                @let total = counts.iter().sum::<u64>().max(1);
                tr {
                    th scope="row" title=(label) { (name(label)) }
                    @for (column, count) in counts.iter().enumerate() {
                        (cell(*count, *count as f64 / total as f64, row == column))
                    }
                }
            } }
        }
    };
    scrollable("Confusion matrix", &table)
}

fn cell(count: u64, share: f64, is_right: bool) -> Markup {
    let heat = format!("--heat:{:.0}%", (share.sqrt() * 100.0).round());
    html! {
        td.right[is_right].wrong[!is_right].strong[share >= 0.35] style=(heat) {
            @if count > 0 { (count) } @else { span.zero { "0" } }
        }
    }
}

fn pairs(tables: &Tables<'_>) -> Markup {
    let mut pairs = Vec::new();
    for (expected, counts) in tables.confusion.iter().enumerate() {
        let total: u64 = counts.iter().sum();
        for (predicted, &count) in counts.iter().enumerate() {
            if expected != predicted && count > 0 {
                pairs.push((count, expected, predicted, count as f64 / total as f64));
            }
        }
    }
    pairs.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let table = html! {
        table {
            caption { "The most frequent confusions" }
            thead { tr {
                th.left scope="col" { "Expected" } th.left scope="col" { "Predicted" }
                th scope="col" { "Rows" } th scope="col" { "Share of the class" }
            } }
            tbody { @for (count, expected, predicted, share) in pairs.iter().take(MAX_PAIRS) { tr {
                th.left scope="row" { (name(tables.labels[*expected])) }
                td.left { (name(tables.labels[*predicted])) }
                td { (count) } td { (format!("{:.0} %", share * 100.0)) }
            } } }
        }
    };
    scrollable("Confusions", &table)
}

fn per_class(tables: &Tables<'_>) -> Markup {
    let value = |class: &Value, key: &str| class.get(key).and_then(Value::as_f64);
    let share = |class: &Value, key: &str| {
        value(class, key).map_or("–".to_owned(), |share| format!("{share:.3}"))
    };
    let bar = |class: &Value| {
        let share = value(class, "f1").unwrap_or(0.0).clamp(0.0, 1.0);
        format!("--share:{:.1}%", share * 100.0)
    };
    let table = html! {
        table {
            caption { "How well each class is told from the others" }
            thead { tr {
                th.left scope="col" { "Class" } th scope="col" { "Precision" } th scope="col" { "Recall" }
                th scope="col" { "F1" } th aria-hidden="true" {} th scope="col" { "Rows" }
            } }
            tbody { @for (label, class) in tables.labels.iter().zip(&tables.classes) { tr {
                th.left scope="row" { (name(label)) }
                td { (share(class, "precision")) } td { (share(class, "recall")) } td { (share(class, "f1")) }
                td.bar aria-hidden="true" { i style=(bar(class)) {} }
                td { (value(class, "support").map_or("–".to_owned(), |rows| grouped(rows as usize))) }
            } } }
        }
    };
    scrollable("Scores by class", &table)
}
