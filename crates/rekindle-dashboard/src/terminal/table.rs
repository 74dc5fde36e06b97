//! The table of epochs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};

use super::draw::section;
use super::state::{Row, State};
use super::text::{number, right, width};
use super::{BOLD, DIM};
use crate::format::clock;

/// Columns that every table has, and their widths.
const FIXED: [(&str, usize); 4] = [
    ("epoch", 6),
    ("step", 7),
    ("train loss", 10),
    ("valid loss", 10),
];

const TIME: (&str, usize) = ("time", 8);

const BEST: &str = "best";

/// Rows that the table would like to show, its last one perhaps for an unfinished epoch.
pub(super) fn rows(state: &State) -> usize {
    (state.rows.len() + usize::from(state.latest.is_some())).max(1)
}

/// Draws the last rows that there is room for.
pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    if area.height < 3 {
        return;
    }
    let room = usize::from(area.height) - 2;
    let all = rows(state);
    let title = if all > room {
        format!("epochs (last {room} of {all})")
    } else {
        "epochs".to_owned()
    };
    let metrics = columns(state, area.width.into());
    let header = FIXED.iter().chain(&[TIME]);
    let mut names: Vec<(&str, usize)> = header.copied().collect();
    let own = metrics.iter().map(|(name, columns)| (&**name, *columns));
    names.splice(FIXED.len()..FIXED.len(), own);
    let mut lines = vec![Line::styled(
        join(names.iter().map(|(name, columns)| right(name, *columns))),
        DIM,
    )];
    let shown = state.rows.iter().chain(&state.latest);
    for row in shown.skip(all.saturating_sub(room)) {
        lines.push(line(state, row, &metrics));
    }
    let block = section(&title);
    Paragraph::new(lines).block(block).render(area, buffer);
}

/// The metrics that fit beside the rest, and the widths of their columns.
fn columns(state: &State, room: usize) -> Vec<(String, usize)> {
    let Some(row) = state.latest.as_ref().or(state.rows.last()) else {
        return Vec::new();
    };
    let fixed = FIXED.iter().chain(&[TIME]);
    let mut used: usize = fixed.map(|(_, columns)| columns + 1).sum::<usize>() + BEST.len() + 1;
    let mut metrics = Vec::new();
    for (name, _) in &row.metrics {
        let columns = width(name).clamp(7, 20);
        used += columns + 1;
        if used > room {
            break;
        }
        metrics.push((name.clone(), columns));
    }
    metrics
}

fn line(state: &State, row: &Row, metrics: &[(String, usize)]) -> Line<'static> {
    let value = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let metric = |name: &str| row.metrics.iter().find(|(known, _)| known == name);
    let mut cells = vec![
        right(&format!("{:.2}", row.epoch), FIXED[0].1),
        right(&row.step.to_string(), FIXED[1].1),
        right(&value(row.train_loss), FIXED[2].1),
        right(&value(row.valid_loss), FIXED[3].1),
    ];
    for (name, columns) in metrics {
        cells.push(right(
            &value(metric(name).map(|(_, value)| *value)),
            *columns,
        ));
    }
    cells.push(right(&clock(row.seconds), TIME.1));
    let is_best = state
        .best
        .as_ref()
        .is_some_and(|best| best.step == row.step);
    if is_best {
        cells.push(BEST.to_owned());
    }
    let style = if is_best {
        BOLD
    } else {
        ratatui::style::Style::new()
    };
    Line::styled(join(cells.into_iter()), style)
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" ")
}
