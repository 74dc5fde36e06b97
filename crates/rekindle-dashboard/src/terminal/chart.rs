//! Curves with axes.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Dataset, GraphType, Widget};

use super::draw::section;
use super::series::Point;
use super::state::Chart;
use super::text::{Unit, cut};
use super::{ACCENT, DIM};

/// Stands for "dim" inside a chart, whose dots can have a color but no modifier.
const FAINT: Color = Color::DarkGray;

/// Columns of dots in a Braille character.
const DOTS_PER_COLUMN: usize = 2;

const VALID: char = '◆';

/// Draws a chart under a line with its title and its legend.
pub(super) fn draw(chart: &Chart, title: &str, area: Rect, buffer: &mut Buffer) {
    let room = area.width.saturating_sub(20).max(8);
    let block = section(&cut(title, room.into())).title(legend(chart).right_aligned());
    let inner = block.inner(area);
    block.render(area, buffer);
    let train = chart
        .train
        .coarser(usize::from(inner.width) * DOTS_PER_COLUMN);
    let (raw, smooth) = (train.points(), train.smoothed());
    let valid = chart.valid.points();
    let Some((x, y)) = scales(&raw, &valid, chart.unit, inner) else {
        let waiting = Line::styled("no numbers yet", DIM).centered();
        let middle = Rect {
            y: inner.y + inner.height / 2,
            height: inner.height.min(1),
            ..inner
        };
        return waiting.render(middle, buffer);
    };
    let curve = |points, color, marker, kind| {
        Dataset::default()
            .data(points)
            .style(color)
            .marker(marker)
            .graph_type(kind)
    };
    let datasets = vec![
        curve(&raw, FAINT, Marker::Braille, GraphType::Line),
        curve(&smooth, ACCENT, Marker::Braille, GraphType::Line),
        curve(
            &valid,
            Color::Reset,
            Marker::Custom(VALID),
            GraphType::Scatter,
        ),
    ];
    ratatui::widgets::Chart::new(datasets)
        .x_axis(x.axis(Unit::Count, Alignment::Left))
        .y_axis(y.axis(chart.unit, Alignment::Right))
        .legend_position(None)
        .render(inner, buffer);
    dim(inner, buffer);
}

/// Says what the marks mean, without relying on colors.
fn legend(chart: &Chart) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    if !chart.train.is_empty() {
        spans.push(Span::styled("━ ", ACCENT));
        spans.push(Span::raw("train "));
    }
    if !chart.valid.is_empty() {
        spans.push(Span::raw(format!("{VALID} valid ")));
    }
    Line::from(spans)
}

fn dim(area: Rect, buffer: &mut Buffer) {
    for position in area.positions() {
        let cell = &mut buffer[position];
        if cell.fg == FAINT {
            cell.set_style(Style::new().fg(Color::Reset).add_modifier(Modifier::DIM));
        }
    }
}

/// The range of an axis, from label to label.
#[derive(Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

/// The axes that hold all points, with as many labels as there is room for.
fn scales(raw: &[Point], valid: &[Point], unit: Unit, area: Rect) -> Option<(Scale, Scale)> {
    let points = || raw.iter().chain(valid);
    let last = points().map(|point| point.0).reduce(f64::max)?;
    let low = points().map(|point| point.1).reduce(f64::min)?;
    let high = points().map(|point| point.1).reduce(f64::max)?;
    let columns = f64::from((area.width / 16).clamp(1, 8));
    let rows = f64::from((area.height / 3).clamp(1, 6));
    // Whole steps, whole tokens: between them there is nothing to label.
    let smallest = if unit == Unit::None { 0.0 } else { 1.0 };
    Some((
        Scale::new(0.0, last, columns, 1.0),
        Scale::new(low, high, rows, smallest),
    ))
}

impl Scale {
    /// About so many intervals of a round width, which is not below `smallest`.
    fn new(low: f64, high: f64, intervals: f64, smallest: f64) -> Self {
        let spread = if high > low {
            high - low
        } else {
            (high.abs() * 0.2).max(1e-12)
        };
        let wanted = (spread / intervals).max(smallest);
        let power = 10_f64.powf(wanted.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            // A quotient such as 2.0000000000000004 is no reason for the next width.
            .find(|step| step * (1.0 + 1e-9) >= wanted)
            .unwrap_or(10.0 * power);
        let first = (low / step * (1.0 + 1e-9)).floor();
        let last = (high / step * (1.0 - 1e-9)).ceil().max(first + 1.0);
        Self {
            low: first * step,
            high: last * step,
            step,
        }
    }

    fn labels(&self, unit: Unit) -> Vec<String> {
        let (divisor, suffix) = unit.scale(self.high.abs().max(self.low.abs()));
        let is_enough = |digits: &usize| {
            let scaled = self.step / divisor * 10_f64.powi(*digits as i32);
            (scaled - scaled.round()).abs() < 1e-6
        };
        let digits = (0..6).find(is_enough).unwrap_or(6);
        let count = ((self.high - self.low) / self.step).round() as usize;
        let label = |index: usize| {
            let value = self.low + self.step * index as f64;
            if value.abs() < self.step * 1e-6 {
                return "0".to_owned();
            }
            format!("{:.digits$}{suffix}", value / divisor)
        };
        (0..=count).map(label).collect()
    }

    fn axis(&self, unit: Unit, alignment: Alignment) -> Axis<'static> {
        Axis::default()
            .bounds([self.low, self.high])
            .labels(self.labels(unit))
            .labels_alignment(alignment)
            .style(DIM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, unit: Unit) -> Vec<String> {
        Scale::new(low, high, 3.0, 0.0).labels(unit)
    }

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(labels(0.13, 1.97, Unit::None), ["0", "1", "2"]);
        assert_eq!(labels(0.0, 5e-5, Unit::None), ["0", "2e-5", "4e-5", "6e-5"]);
        assert_eq!(
            labels(0.81, 0.87, Unit::None),
            ["0.80", "0.82", "0.84", "0.86", "0.88"]
        );
        assert_eq!(labels(-1.5, 1.5, Unit::None), ["-2", "-1", "0", "1", "2"]);
        assert_eq!(
            labels(9_000.0, 31_000.0, Unit::Count),
            ["0", "10k", "20k", "30k", "40k"]
        );
        assert_eq!(
            labels(1.1e9, 1.4e9, Unit::Bytes),
            ["1.1 GB", "1.2 GB", "1.3 GB", "1.4 GB"]
        );
    }

    #[test]
    fn a_flat_curve_has_an_axis() {
        for value in [0.0, 1.0, -3.0, 1e-9, 1e12] {
            let scale = Scale::new(value, value, 4.0, 0.0);
            assert!(scale.low <= value && value <= scale.high && scale.low < scale.high);
            assert!(scale.labels(Unit::None).len() >= 2);
        }
    }

    #[test]
    fn steps_have_whole_labels() {
        let scale = Scale::new(0.0, 3.0, 8.0, 1.0);
        assert_eq!(scale.labels(Unit::Count), ["0", "1", "2", "3"]);
    }
}
