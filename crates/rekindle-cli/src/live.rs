//! How a run's progress is shown while it goes on.

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering;

use rekindle::dashboard::{EventLog, PlainLines, Sink, Terminal};
use rekindle::events::{Event, Events};

use crate::args::Dashboard;
use crate::failure::INTERRUPTED;
use crate::progress::note;
use crate::watch::Watch;

/// The sink that a user sees.
pub(crate) enum Live {
    /// Lines, or nothing.
    Lines(Box<dyn Sink>),
    /// The full-screen dashboard, with what it leaves for the terminal's history.
    Screen {
        terminal: Box<Terminal>,
        kept: Vec<Event>,
        log_every: usize,
    },
}

impl Live {
    /// What the flag asks for; the full screen where it suits, if that is left open.
    pub(crate) fn start(dashboard: Dashboard, log_every: usize, watch: &Watch) -> Self {
        let lines = || Box::new(PlainLines::new(io::stderr(), log_every));
        let is_screen = io::stdin().is_terminal() && io::stderr().is_terminal();
        match dashboard {
            Dashboard::Auto if !is_screen => Self::Lines(lines()),
            Dashboard::Auto | Dashboard::Tui => match terminal(watch) {
                Ok(terminal) => Self::Screen {
                    terminal: Box::new(terminal),
                    kept: Vec::new(),
                    log_every,
                },
                Err(error) => {
                    note(format_args!("no dashboard on this terminal: {error}"));
                    Self::Lines(lines())
                }
            },
            Dashboard::Plain => Self::Lines(lines()),
            Dashboard::Json => Self::Lines(Box::new(EventLog::new(io::stdout()))),
            Dashboard::None => Self::Lines(Box::new(PlainLines::new(io::sink(), log_every))),
        }
    }

    /// Gives the terminal back, and leaves on it what a user wants to find there later.
    pub(crate) fn close(self) {
        let Self::Screen {
            mut terminal,
            kept,
            log_every,
        } = self
        else {
            return;
        };
        terminal.close();
        let mut lines = PlainLines::new(io::stderr(), log_every);
        for event in kept {
            lines.emit(event);
        }
    }
}

impl Events for Live {
    fn emit(&mut self, event: Event) {
        match self {
            Self::Lines(lines) => lines.emit(event),
            Self::Screen { terminal, kept, .. } => {
                let is_kept = !matches!(
                    event,
                    Event::Step(_) | Event::Evaluation(_) | Event::Checkpoint(_)
                );
                if is_kept {
                    kept.push(event.clone());
                }
                terminal.emit(event);
            }
        }
    }

    fn replay(&mut self, history: &[Event]) {
        match self {
            Self::Lines(lines) => lines.replay(history),
            Self::Screen { terminal, .. } => terminal.replay(history),
        }
    }
}

/// The full-screen dashboard; its keys stop the run as signals do.
fn terminal(watch: &Watch) -> io::Result<Terminal> {
    // https://no-color.org: set, and not empty.
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let stop = watch.stop();
    Terminal::start(
        io::stderr(),
        color,
        move || stop.store(true, Ordering::Relaxed),
        || std::process::exit(i32::from(INTERRUPTED)),
    )
}
