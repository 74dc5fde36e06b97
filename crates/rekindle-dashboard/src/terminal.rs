//! A full-screen dashboard in the terminal.

mod chart;
mod clock;
mod draw;
mod input;
mod keys;
mod renderer;
mod screen;
mod series;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::io::{self, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::style::{Color, Modifier, Style};
use rekindle_train::events::{Event, Events};

use self::keys::{Action, View};
use self::renderer::Learner;
use self::screen::Screen;
use self::state::State;
use crate::sink::Sink;

/// Time between two looks at keys and state, and so the least time between two drawings.
const TICK: Duration = Duration::from_millis(200);

/// The one color; it reads well on light and on dark backgrounds, and no meaning rests on it.
const ACCENT: Color = Color::Magenta;
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// A dashboard over the whole terminal, fed by events or by any learner of burn-train.
///
/// It draws on standard error, so that results on standard output can be redirected, and reads keys from
/// standard input. Taking an event costs microseconds: a thread of its own draws at most five times a
/// second. When the terminal goes away, that thread ends and the training goes on.
///
/// A panic anywhere in the process, even one that is caught, closes the dashboard before its message is
/// printed. While the dashboard is open, Ctrl-C is a key and raises no signal.
pub struct Terminal {
    shared: Arc<Shared>,
    drawing: Option<JoinHandle<()>>,
    learner: Learner,
    stays_open: bool,
    /// What is written once the terminal is as it was.
    farewell: Option<String>,
}

/// What the training's thread and the drawing one have in common.
struct Shared {
    began: Instant,
    state: Mutex<(State, u64)>,
    is_closing: AtomicBool,
    is_stopping: AtomicBool,
    failure: OnceLock<io::Error>,
}

type Control = Box<dyn Fn() + Send>;

impl Terminal {
    /// Takes over the terminal behind `screen`.
    ///
    /// `stop` is called when the user has confirmed that the training shall stop after the step; `stop_now`
    /// when Ctrl-C is pressed once more after that, with the terminal as it was before. Both are called on
    /// the drawing thread. Without `color`, bold and dim are the only styles.
    ///
    /// # Errors
    ///
    /// When standard input or standard error is no terminal, when the terminal cannot be set up, or when
    /// another dashboard is open.
    pub fn start(
        screen: Stderr,
        color: bool,
        stop: impl Fn() + Send + 'static,
        stop_now: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        screen::open(screen)?;
        let shared = Arc::new(Shared::new());
        let drawing = Drawing {
            shared: Arc::clone(&shared),
            view: View::default(),
            screen: Screen::new(color),
            stop: Box::new(stop),
            stop_now: Box::new(stop_now),
        };
        let thread = thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(|| drawing.run())
            .inspect_err(|_| {
                screen::close();
            })?;
        Ok(Self {
            shared,
            drawing: Some(thread),
            learner: Learner::default(),
            stays_open: false,
            farewell: None,
        })
    }

    /// Gives the terminal back from whatever dashboard is open: for a process that is about to exit.
    pub fn give_back() {
        screen::close();
    }

    /// Gives the terminal back as it was. Dropping does the same.
    pub fn close(&mut self) {
        self.shared.is_closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.drawing.take() {
            // Its panic, if any, has been reported by the panic hook.
            let _ = thread.join();
            if let (Some(mut screen), Some(text)) = (screen::close(), self.farewell.take()) {
                let _ = writeln!(screen, "{text}");
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Events for Terminal {
    fn emit(&mut self, event: Event) {
        self.shared.update(|state, now| state.apply(&event, now));
    }

    fn replay(&mut self, history: &[Event]) {
        self.shared.update(|state, now| {
            for event in history {
                state.apply(event, now);
            }
        });
    }
}

impl Sink for Terminal {
    fn failure(&self) -> Option<&io::Error> {
        self.shared.failure.get()
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::default(),
            is_closing: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// The state, and how often it changed. A panic while drawing leaves it as good as it was.
    fn state(&self) -> MutexGuard<'_, (State, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn update(&self, change: impl FnOnce(&mut State, f64)) {
        let (state, changes) = &mut *self.state();
        change(state, self.now());
        *changes += 1;
    }
}

/// What the drawing thread owns.
struct Drawing {
    shared: Arc<Shared>,
    view: View,
    screen: Screen,
    stop: Control,
    stop_now: Control,
}

impl Drawing {
    fn run(mut self) {
        if let Err(error) = self.draw_until_closed() {
            // Nobody can be asked or told on a terminal that is gone.
            let _ = self.shared.failure.set(error);
            screen::close();
        }
    }

    fn draw_until_closed(&mut self) -> io::Result<()> {
        let mut drawn = None;
        while !self.shared.is_closing.load(Ordering::Relaxed) && screen::is_open() {
            let seconds = self.shared.began.elapsed().as_secs();
            let stamp = (self.shared.state().1, seconds, screen::size());
            if drawn != Some(stamp) {
                self.draw(stamp.2)?;
                drawn = Some(stamp);
            }
            for key in input::wait(TICK)? {
                self.press(key);
                // Keys redraw all, whatever other programs left on the screen.
                self.screen.forget();
                drawn = None;
            }
        }
        Ok(())
    }

    /// The state is held while it is drawn into memory, not while that is sent to a terminal, which may be
    /// slow.
    fn draw(&mut self, size: (u16, u16)) -> io::Result<()> {
        let mut next = self.screen.blank(size);
        draw::draw(
            &mut next,
            &self.shared.state().0,
            &self.view,
            self.shared.now(),
        );
        self.screen.show(next)
    }

    fn press(&mut self, key: keys::Key) {
        let charts = self.shared.state().0.charts.len();
        match self.view.press(key, charts) {
            Some(Action::Stop) => {
                self.shared.is_stopping.store(true, Ordering::Relaxed);
                (self.stop)();
            }
            Some(Action::StopNow) => {
                screen::close();
                (self.stop_now)();
            }
            None => {}
        }
    }
}
