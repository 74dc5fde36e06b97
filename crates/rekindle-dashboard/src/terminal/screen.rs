//! The terminal as a device: opened, drawn on, and given back whatever happens.

use std::io::{self, IsTerminal, Stderr, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::draw::without_color;

/// The terminal, while a dashboard has it. A process has one, and a panic hook knows no more than what is
/// static.
static SCREEN: Mutex<Option<Stderr>> = Mutex::new(None);

/// Where the terminal does not tell its size, one line of a usual length is drawn.
const UNKNOWN_SIZE: (u16, u16) = (80, 1);

fn lock() -> MutexGuard<'static, Option<Stderr>> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Switches to an empty screen and to single keys.
pub(super) fn open(mut screen: Stderr) -> io::Result<()> {
    if !io::stdin().is_terminal() || !screen.is_terminal() {
        let message = "standard input or standard error is no terminal";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    let mut open = lock();
    if open.is_some() {
        let message = "another dashboard has the terminal";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
    }
    give_back_on_panic();
    enable_raw_mode()?;
    let entered = execute!(screen, EnterAlternateScreen, Hide);
    *open = Some(screen);
    if entered.is_err() {
        give_back(&mut open);
    }
    entered
}

/// Gives the terminal back if it was taken.
pub(super) fn close() -> Option<Stderr> {
    give_back(&mut lock())
}

pub(super) fn is_open() -> bool {
    lock().is_some()
}

/// Both halves are tried, since a terminal that cannot be written to may still be the user's shell's.
fn give_back(open: &mut Option<Stderr>) -> Option<Stderr> {
    let mut screen = open.take()?;
    let _ = execute!(screen, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
    Some(screen)
}

/// Installs, once in a process, a panic hook that gives the terminal back before the message is printed.
/// It stays installed, since taking it out could throw away a hook that was set later.
fn give_back_on_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(mut open) = lock_soon() {
                give_back(&mut open);
            } else {
                let _ = disable_raw_mode();
            }
            previous(info);
        }));
    });
}

/// The lock, unless a thread that hangs in writing has it.
fn lock_soon() -> Option<MutexGuard<'static, Option<Stderr>>> {
    for _ in 0..20 {
        match SCREEN.try_lock() {
            Ok(open) => return Some(open),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
    None
}

/// Columns and rows.
pub(super) fn size() -> (u16, u16) {
    match measure() {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => UNKNOWN_SIZE,
    }
}

#[cfg(unix)]
fn measure() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(lock().as_ref()?).ok()?;
    Some((size.ws_col, size.ws_row))
}

#[cfg(not(unix))]
fn measure() -> Option<(u16, u16)> {
    ratatui::crossterm::terminal::size().ok()
}

/// What the terminal shows.
///
/// Ratatui's own `Terminal` is not used: it asks for the size in a way that may start a process, and tells
/// standard error when the terminal is gone.
pub(super) struct Screen {
    shown: Buffer,
    has_color: bool,
}

impl Screen {
    pub(super) fn new(has_color: bool) -> Self {
        Self {
            shown: Buffer::empty(Rect::ZERO),
            has_color,
        }
    }

    /// An empty picture of that size.
    pub(super) fn blank(&mut self, (columns, rows): (u16, u16)) -> Buffer {
        let area = Rect::new(0, 0, columns, rows);
        if area != self.shown.area {
            self.shown = Buffer::empty(area);
            self.forget();
        }
        Buffer::empty(area)
    }

    /// Makes the next picture be drawn in full: no cell of it looks like this.
    pub(super) fn forget(&mut self) {
        let mut unknown = Cell::EMPTY;
        unknown.modifier = Modifier::all();
        self.shown = Buffer::filled(self.shown.area, unknown);
    }

    /// Sends what is not shown yet.
    pub(super) fn show(&mut self, mut next: Buffer) -> io::Result<()> {
        if !self.has_color {
            without_color(&mut next);
        }
        let mut bytes = Vec::new();
        CrosstermBackend::new(&mut bytes).draw(self.shown.diff(&next).into_iter())?;
        if let Some(screen) = &mut *lock() {
            screen.write_all(&bytes)?;
        }
        self.shown = next;
        Ok(())
    }
}
