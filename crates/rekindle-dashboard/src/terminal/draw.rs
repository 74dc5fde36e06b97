//! The screen of a run: a pure function of what is known and what the user looks at.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget, Wrap};
use rekindle_train::events::End;

use super::keys::{Stop, View};
use super::state::{Phase, State};
use super::text::{cut, left, number, right, width};
use super::{ACCENT, BOLD, DIM, chart, table};
use crate::format::clock;

/// Below this, one line has to do.
const SMALLEST: (u16, u16) = (40, 10);

const NUMBERS_WIDTH: u16 = 27;

const HELP: [(&str, &str); 7] = [
    ("━", "smoothed; faint: each step as it was"),
    ("q, Ctrl-C", "stop after this step, asked twice"),
    ("Ctrl-C", "while stopping: stop at once"),
    ("Tab, arrows", "next or previous chart"),
    ("1 to 9", "chart of that number"),
    ("w", "all warnings"),
    ("?, h", "this help; Esc closes"),
];

/// Draws the whole screen; `now` is in seconds since the dashboard began.
pub(super) fn draw(buffer: &mut Buffer, state: &State, view: &View, now: f64) {
    let area = buffer.area;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return one_line(buffer, state, view);
    }
    let [header, progress, body, footer] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(if area.height < 30 { 1 } else { 2 }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_header(state, view, header, buffer);
    draw_progress(state, now, progress, buffer);
    if view.shows_notes {
        draw_notes(state, true, body, buffer);
    } else {
        draw_body(state, view, body, buffer);
    }
    draw_footer(state, view, footer, buffer);
    if view.shows_help {
        draw_help(body, buffer);
    }
}

/// Leaves bold and dim as the only styles.
pub(super) fn without_color(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.fg != Color::Reset {
            cell.fg = Color::Reset;
            cell.modifier.insert(Modifier::BOLD);
        }
    }
}

fn one_line(buffer: &mut Buffer, state: &State, view: &View) {
    let loss = state.charts.first().and_then(|chart| chart.train.last());
    let loss = loss.map_or(String::new(), |(_, loss)| format!(" loss {}", number(loss)));
    let text = match view.stop {
        Stop::Asked => "stop training? y/n".to_owned(),
        _ => format!("{}{loss} {}", steps(state), phase(state, view)),
    };
    Line::raw(cut(&text, buffer.area.width.into())).render(buffer.area, buffer);
}

fn draw_header(state: &State, view: &View, area: Rect, buffer: &mut Buffer) {
    let phase = cut(&phase(state, view), usize::from(area.width) / 2);
    let room = usize::from(area.width).saturating_sub(width(&phase) + 1);
    let run = if state.run.is_empty() {
        "training"
    } else {
        &state.run
    };
    let style = match state.phase {
        Phase::Failed(_) => Style::new().fg(Color::Red).patch(BOLD),
        _ => BOLD,
    };
    let lines = vec![
        Line::from(vec![
            Span::styled(format!("{} ", left(run, room)), BOLD),
            Span::styled(phase, style),
        ]),
        Line::styled(cut(&state.about.join(" · "), area.width.into()), DIM),
    ];
    Paragraph::new(lines).render(area, buffer);
}

fn phase(state: &State, view: &View) -> String {
    match &state.phase {
        Phase::Failed(why) => format!("failed: {why}"),
        Phase::Ended(End::Completed) => "finished".to_owned(),
        Phase::Ended(End::StoppedEarly) => "finished, stopped early".to_owned(),
        Phase::Ended(End::Interrupted) => "interrupted".to_owned(),
        _ if view.stop == Stop::Stopping => "stopping after this step…".to_owned(),
        Phase::Preparing => "preparing".to_owned(),
        Phase::Training => "training".to_owned(),
    }
}

fn steps(state: &State) -> String {
    match state.steps {
        0 => format!("step {}", state.step),
        steps => format!("step {}/{steps}", state.step),
    }
}

fn draw_progress(state: &State, now: f64, area: Rect, buffer: &mut Buffer) {
    let is_narrow = area.width < 70;
    let epochs = match state.epochs {
        0 => String::new(),
        _ if is_narrow => String::new(),
        epochs => format!("  epoch {:.2}/{epochs}", state.epoch),
    };
    let before = format!("{}{epochs}  ", steps(state));
    let elapsed = clock(state.clock.elapsed(now));
    let remaining = state.seconds_left().map(clock);
    let remaining = remaining.map_or(String::new(), |left| format!("  {left} left"));
    let done = state.done();
    let percent = done.map_or(String::new(), |done| format!("  {:3.0} %", done * 100.0));
    let word = if is_narrow { "" } else { " elapsed" };
    let after = format!("{percent}  {elapsed}{word}{remaining}");
    let room = usize::from(area.width).saturating_sub(width(&before) + width(&after));
    let filled = (done.unwrap_or(0.0) * room as f64).round() as usize;
    let line = Line::from(vec![
        Span::raw(before),
        Span::styled("━".repeat(filled), ACCENT),
        Span::styled("─".repeat(room - filled), DIM),
        Span::raw(after),
    ]);
    line.render(area, buffer);
}

fn draw_body(state: &State, view: &View, area: Rect, buffer: &mut Buffer) {
    let is_wide = area.width >= 140;
    let rows = (area.height / 4).max(2).min(table::rows(state) as u16);
    let table_height = if area.height < 14 { 0 } else { rows + 2 };
    let notes = state.notes.len() as u16;
    let notes_height = match notes {
        0 => 0,
        _ if is_wide => table_height.max(3),
        _ => 1 + notes.min(area.height / 8).max(1),
    };
    let below = if is_wide {
        table_height.max(notes_height)
    } else {
        table_height + notes_height
    };
    let [top, bottom] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(below)]).areas(area);
    draw_charts(state, view, top, buffer);
    let parts = match (is_wide, notes) {
        (true, 1..) => Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2),
        _ => Layout::vertical([
            Constraint::Length(table_height),
            Constraint::Length(notes_height),
        ]),
    };
    let [rows, notes] = parts.areas(bottom);
    table::draw(state, rows, buffer);
    draw_notes(state, false, notes, buffer);
}

/// The chosen chart beside the numbers of now; where there is room, the other charts below, small.
fn draw_charts(state: &State, view: &View, area: Rect, buffer: &mut Buffer) {
    let numbers_width = if area.width < 70 { 0 } else { NUMBERS_WIDTH };
    let [charts, numbers] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(numbers_width)])
            .spacing(numbers_width.min(2))
            .areas(area);
    if numbers_width > 0 {
        draw_numbers(state, numbers, buffer);
    }
    let Some(chosen) = state.charts.get(view.chart).or(state.charts.first()) else {
        return chart::draw(&super::state::Chart::default(), "loss", charts, buffer);
    };
    let others: Vec<_> = (0..state.charts.len())
        .filter(|&index| index != view.chart)
        .take(usize::from(charts.width / 40))
        .collect();
    let has_strip = charts.height >= 30 && !others.is_empty();
    let strip_height = if has_strip { charts.height / 3 } else { 0 };
    let [main, strip] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(strip_height)]).areas(charts);
    let title = format!(
        "{} ({}/{})",
        chosen.name,
        view.chart + 1,
        state.charts.len()
    );
    chart::draw(chosen, &title, main, buffer);
    if has_strip {
        let cells = Layout::horizontal(others.iter().map(|_| Constraint::Fill(1)))
            .spacing(2)
            .split(strip);
        for (&index, &cell) in others.iter().zip(cells.iter()) {
            let chart = &state.charts[index];
            chart::draw(
                chart,
                &format!("{} {}", index + 1, chart.name),
                cell,
                buffer,
            );
        }
    }
}

fn draw_numbers(state: &State, area: Rect, buffer: &mut Buffer) {
    let block = section("now");
    let inner = block.inner(area);
    block.render(area, buffer);
    let columns = usize::from(inner.width);
    let lines = numbers(state).into_iter().map(|(name, value)| {
        let value = cut(&value, columns);
        let room = columns.saturating_sub(width(&value) + 1);
        Line::from(vec![
            Span::styled(left(&name, room), DIM),
            Span::raw(right(&value, columns - room)),
        ])
    });
    Paragraph::new(lines.collect::<Vec<_>>()).render(inner, buffer);
}

/// Names and values of what holds at this moment, the most wanted first.
fn numbers(state: &State) -> Vec<(String, String)> {
    let mut numbers = Vec::new();
    for chart in &state.charts {
        let mut say = |name: String, point: Option<(f64, f64)>| {
            numbers.extend(point.map(|(_, value)| (name, chart.unit.text(value))));
        };
        say(chart.name.clone(), chart.train.last());
        say(format!("valid {}", chart.name), chart.valid.last());
    }
    if let Some(best) = &state.best {
        if let Some((metric, value)) = &best.value {
            numbers.push((format!("best {metric}"), number(*value)));
        }
        numbers.push(("best at step".to_owned(), best.step.to_string()));
    }
    let saved = state
        .saved
        .map(|step| ("saved at step".to_owned(), step.to_string()));
    let first = state.clock.first_step();
    let first = first.map(|seconds| ("first step".to_owned(), format!("{seconds:.2} s")));
    numbers.extend(saved);
    numbers.extend(first);
    numbers.extend(state.texts.iter().cloned());
    numbers
}

/// Warnings, the newest first: each in one line, or all of them in full.
fn draw_notes(state: &State, is_full: bool, area: Rect, buffer: &mut Buffer) {
    if state.notes.is_empty() && !is_full {
        return;
    }
    let block = section(&format!("warnings ({})", state.note_count));
    let columns = usize::from(area.width).saturating_sub(2);
    let lines = state.notes.iter().map(|note| {
        let text = if is_full {
            note.clone()
        } else {
            cut(note, columns)
        };
        Line::from(vec![Span::styled("! ", Color::Red), Span::raw(text)])
    });
    let mut lines: Vec<Line> = lines.collect();
    if lines.is_empty() {
        lines.push(Line::styled("none", DIM));
    }
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .block(block)
        .render(area, buffer);
}

fn draw_footer(state: &State, view: &View, area: Rect, buffer: &mut Buffer) {
    let question = |text: &'static str| Line::styled(text, BOLD.add_modifier(Modifier::REVERSED));
    let line = match view.stop {
        Stop::Asked => question(" stop training after this step? y/n "),
        Stop::Stopping if matches!(state.phase, Phase::Preparing | Phase::Training) => {
            question(" stopping after this step… Ctrl-C stops at once ")
        }
        _ => {
            let keys = [
                ("q", "stop"),
                ("Tab", "chart"),
                ("w", "warnings"),
                ("?", "help"),
            ];
            let spans = keys.iter().flat_map(|(key, what)| {
                [
                    Span::styled(*key, BOLD),
                    Span::styled(format!(" {what}   "), DIM),
                ]
            });
            Line::from(spans.collect::<Vec<_>>())
        }
    };
    line.render(area, buffer);
}

fn draw_help(area: Rect, buffer: &mut Buffer) {
    let wanted = Rect::new(0, 0, 54, HELP.len() as u16 + 2);
    let place = area.centered(
        Constraint::Length(wanted.width.min(area.width)),
        Constraint::Length(wanted.height.min(area.height)),
    );
    let lines = HELP.map(|(keys, what)| {
        Line::from(vec![
            Span::styled(format!(" {keys:<13}"), BOLD),
            Span::raw(what),
        ])
    });
    Clear.render(place, buffer);
    Paragraph::new(lines.to_vec())
        .block(Block::bordered().title(" keys "))
        .render(place, buffer);
}

/// A part of the screen under a line with its title.
pub(super) fn section(title: &str) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(DIM)
        .title_style(Style::new().not_dim())
        .title(Span::styled(format!(" {title} "), BOLD))
}
