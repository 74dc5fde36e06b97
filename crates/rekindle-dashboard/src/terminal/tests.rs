//! Renderings of whole screens, and what they are fed from.

use insta::assert_snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use rekindle_train::events::{
    Checkpoint, End, Evaluation, Event, Finish, Resume, Skip, Split, Start, Step,
};
use serde_json::json;

use super::draw::{draw, without_color};
use super::keys::{Key, View};
use super::state::State;

const STEPS: usize = 375;

fn start(run: &str) -> Event {
    Event::Start(Start {
        run: run.into(),
        task: "classify".into(),
        model: "sentence-transformers/all-MiniLM-L6-v2".into(),
        backend: "flex (processor, 2 threads)".into(),
        steps: STEPS,
        epochs: 3,
        train_rows: 2000,
        valid_rows: 200,
        trainable_parameters: 22_713_986,
        parameters: 22_713_986,
        state_bytes: 363_423_776,
        metric: Some("accuracy".into()),
        data: Vec::new(),
        environment: std::collections::BTreeMap::default(),
    })
}

/// A curve that falls, with noise that is the same everywhere.
fn step(step: usize) -> Event {
    let at = step as f64 / STEPS as f64;
    let noise = ((step * 7919) % 101) as f64 / 101.0 - 0.5;
    Event::Step(Step {
        step,
        epoch: at * 3.0,
        loss: 0.2 + 1.7 / (1.0 + 6.0 * at) + 0.25 * noise,
        accuracy: Some((0.4 + 0.5 * at + 0.1 * noise).min(1.0)),
        learning_rate: 5e-5 * (1.0 - at),
        grad_norm: 2.0 + noise,
        tokens: 900,
        examples: 16,
        seconds: if step == 1 { 3.0 } else { 0.4 },
        tokens_per_second: 2250.0 + 300.0 * noise,
        memory_bytes: Some(1_100_000_000 + 200_000 * step as u64),
    })
}

fn evaluation(step: usize) -> Evaluation {
    let at = step as f64 / STEPS as f64;
    Evaluation {
        step,
        epoch: at * 3.0,
        train_loss: Some(1.4 - at),
        valid_loss: Some(1.2 - 1.3 * at * (1.5 - at)),
        metrics: json!({"accuracy": 0.5 + 0.4 * at, "macro_f1": 0.45 + 0.4 * at})
            .as_object()
            .unwrap()
            .clone(),
        details: serde_json::Map::default(),
        is_best: true,
        seconds: 50.0,
        tokens_per_second: 2250.0,
    }
}

fn apply(state: &mut State, event: &Event) {
    state.apply(event, 1.0);
}

/// A run after so many steps, with an evaluation at the end of each epoch.
fn run(steps: usize) -> State {
    let mut state = State::default();
    apply(&mut state, &start("reviews-minilm"));
    for number in 1..=steps {
        apply(&mut state, &step(number));
        if number % 125 == 0 {
            let seconds = Evaluation {
                seconds: 4.0,
                ..evaluation(number)
            };
            apply(&mut state, &Event::Evaluation(seconds));
            apply(&mut state, &Event::Epoch(evaluation(number)));
            let checkpoint = Checkpoint {
                step: number,
                path: format!("checkpoints/step-{number:06}"),
                bytes: 270_000_000,
                seconds: 0.5,
                hash_seconds: 0.1,
            };
            apply(&mut state, &Event::Checkpoint(checkpoint));
        }
    }
    state
}

fn finish(end: End) -> Event {
    Event::Finish(Finish {
        general: None,
        steps: STEPS,
        end,
        best_step: STEPS,
        metric: Some("accuracy".into()),
        best: Some(0.9),
        checkpoint: None,
        seconds: 164.0,
        first_step_seconds: 3.0,
        step_seconds: 152.0,
        event_seconds: 0.1,
        tokens_per_second: 2250.0,
    })
}

fn warn(state: &mut State) {
    let skip = Skip {
        step: 301,
        epoch: 2.4,
        what: "loss".into(),
        value: "NaN".into(),
        rows: (1..=16).map(|row| row * 31).collect(),
        in_a_row: 1,
    };
    apply(state, &Event::Skip(skip));
    let split = Split {
        step: 301,
        batch_size: 8,
        accumulate: 2,
    };
    apply(state, &Event::Split(split));
    let message = "checkpoint at step 302 not saved: no space left on device".into();
    apply(state, &Event::Warning { message });
}

fn picture(state: &State, view: &View, columns: u16, rows: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    draw(&mut buffer, state, view, 121.0);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(buffer.area.width.into());
    let lines = rows.map(|row| {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn screen(state: &State, view: &View, columns: u16, rows: u16) -> String {
    text(&picture(state, view, columns, rows))
}

fn pressed(state: &State, keys: &[Key]) -> View {
    let mut view = View::default();
    for &key in keys {
        view.press(key, state.charts.len());
    }
    view
}

#[test]
fn a_run_at_its_beginning() {
    let mut state = State::default();
    assert_snapshot!("empty_80x24", screen(&state, &View::default(), 80, 24));
    apply(&mut state, &start("reviews-minilm"));
    apply(&mut state, &step(1));
    assert_snapshot!("first_step_80x24", screen(&state, &View::default(), 80, 24));
}

#[test]
fn a_run_in_its_third_epoch() {
    let state = run(300);
    assert_snapshot!("running_80x24", screen(&state, &View::default(), 80, 24));
    assert_snapshot!("running_200x60", screen(&state, &View::default(), 200, 60));
}

#[test]
fn a_finished_run() {
    let mut state = run(STEPS);
    apply(&mut state, &finish(End::Completed));
    let accuracy = pressed(&state, &[Key::Char('6')]);
    assert_snapshot!("finished_80x24", screen(&state, &accuracy, 80, 24));
}

#[test]
fn a_run_with_warnings() {
    let mut state = run(300);
    warn(&mut state);
    assert_snapshot!("warnings_80x24", screen(&state, &View::default(), 80, 24));
    assert_snapshot!("warnings_200x60", screen(&state, &View::default(), 200, 60));
    let all = pressed(&state, &[Key::Char('w')]);
    assert_snapshot!("all_warnings_80x24", screen(&state, &all, 80, 24));
}

#[test]
fn help_and_the_question() {
    let state = run(300);
    let view = pressed(&state, &[Key::Char('?'), Key::Char('q')]);
    assert_snapshot!("help_80x24", screen(&state, &view, 80, 24));
    let view = pressed(&state, &[Key::Interrupt, Key::Interrupt]);
    let stopping = screen(&state, &view, 80, 24);
    assert!(
        stopping
            .lines()
            .next()
            .unwrap()
            .ends_with("stopping after this step…")
    );
    assert!(stopping.ends_with(" stopping after this step… Ctrl-C stops at once"));
}

#[test]
fn a_screen_that_is_too_small_has_one_line() {
    let state = run(300);
    let line = screen(&state, &View::default(), 39, 5);
    assert_eq!(line.trim_end(), "step 300/375 loss 0.5636 training");
    let asked = pressed(&state, &[Key::Interrupt]);
    assert_eq!(screen(&state, &asked, 20, 1), "stop training? y/n");
}

#[test]
fn no_size_panics() {
    let mut state = run(300);
    warn(&mut state);
    let help = pressed(&state, &[Key::Char('?')]);
    let notes = pressed(&state, &[Key::Char('w')]);
    for columns in [0, 1, 2, 20, 39, 40, 41, 69, 70, 71, 139, 140, 141, 300] {
        for rows in (0..25).chain([44, 60]) {
            for view in [View::default(), help, notes] {
                let buffer = picture(&state, &view, columns, rows);
                assert_eq!(buffer.content.len(), usize::from(columns * rows));
            }
        }
    }
}

#[test]
fn without_color_the_curve_is_bold_and_the_noise_dim() {
    let mut buffer = picture(&run(300), &View::default(), 80, 24);
    without_color(&mut buffer);
    let is_plain =
        |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
    assert!(buffer.content.iter().all(is_plain));
    let dots = buffer.content.iter().filter(|cell| {
        ('\u{2801}'..='\u{28ff}').contains(&cell.symbol().chars().next().unwrap_or(' '))
    });
    let (bold, dim): (Vec<_>, Vec<_>) =
        dots.partition(|cell| cell.modifier.contains(Modifier::BOLD));
    assert!(bold.len() > 10 && dim.len() > 10);
    assert!(dim.iter().all(|cell| cell.modifier == Modifier::DIM));
}

#[test]
fn hostile_text_stays_in_its_place() {
    let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}日本語日本語\u{202e}\r\nevil";
    let mut state = State::default();
    apply(&mut state, &start(&hostile.repeat(9)));
    apply(&mut state, &step(1));
    let mut scores = evaluation(1);
    scores.metrics.insert(hostile.into(), json!(0.5));
    apply(&mut state, &Event::Evaluation(scores.clone()));
    apply(&mut state, &Event::Epoch(scores));
    let message = hostile.repeat(20);
    apply(
        &mut state,
        &Event::Warning {
            message: message.clone(),
        },
    );
    apply(&mut state, &Event::Failure { message });
    for key in [Key::Char('1'), Key::Char('8'), Key::Char('w')] {
        let buffer = picture(&state, &pressed(&state, &[key]), 80, 24);
        let mut symbols = buffer.content.iter().map(ratatui::buffer::Cell::symbol);
        assert!(symbols.all(|symbol| {
            !symbol.contains(|letter: char| letter.is_control() || letter == '\u{202e}')
        }));
    }
}

#[test]
fn a_resumed_run_has_one_curve() {
    let whole = run(200);
    let mut parts = run(150);
    apply(
        &mut parts,
        &Event::Failure {
            message: "lost".into(),
        },
    );
    apply(&mut parts, &start("reviews-minilm"));
    apply(&mut parts, &Event::Resume(Resume { step: 150 }));
    for number in 151..=200 {
        apply(&mut parts, &step(number));
    }
    for (part, whole) in parts.charts.iter().zip(&whole.charts) {
        // The first step after going on is left out of the speed, as that of the run is.
        if part.name != "tokens/s" {
            assert_eq!(part.train.points(), whole.train.points());
        }
        assert_eq!(part.valid.points(), whole.valid.points());
    }
    assert_eq!((parts.phase, parts.rows), (whole.phase, whole.rows));
}

#[test]
fn an_evaluation_within_an_epoch_is_a_row_until_the_epoch_ends() {
    let mut state = run(130);
    apply(&mut state, &Event::Evaluation(evaluation(130)));
    assert_eq!((super::table::rows(&state), state.rows.len()), (2, 1));
    apply(&mut state, &Event::Epoch(evaluation(250)));
    assert_eq!((super::table::rows(&state), state.rows.len()), (2, 2));
    assert_eq!(state.charts[0].valid.points().len(), 3);
}
