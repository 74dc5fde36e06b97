//! The terminal as a device: opened, drawn on, and given back whatever happens.

use std::io::{self, BufWriter, IsTerminal, Stderr, Write};
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

/// Whether a dashboard has the terminal. A process has one terminal, and a panic hook knows no more than
/// what is static; who writes to the terminal holds the lock.
static OPEN: Mutex<bool> = Mutex::new(false);

/// Where the terminal does not tell its size, one line of a usual length is drawn.
const UNKNOWN_SIZE: (u16, u16) = (80, 1);

fn lock() -> MutexGuard<'static, bool> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Switches to an empty screen and to single keys.
pub(super) fn open() -> io::Result<()> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let message = "standard input or standard error is no terminal";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    let mut open = lock();
    if *open {
        let message = "another dashboard has the terminal";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
    }
    give_back_on_panic();
    enable_raw_mode()?;
    *open = true;
    execute!(io::stderr(), EnterAlternateScreen, Hide).inspect_err(|_| give_back(&mut open))
}

/// Gives the terminal back if it was taken.
pub(super) fn close() {
    give_back(&mut lock());
}

pub(super) fn is_open() -> bool {
    *lock()
}

/// Both halves are tried, since a terminal that cannot be written to may still be the user's shell's.
fn give_back(open: &mut bool) {
    if std::mem::take(open) {
        let _ = execute!(io::stderr(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Installs, once in a process, a panic hook that gives the terminal back before the message is printed.
/// It stays installed, since taking it out could throw away a hook that was set later.
fn give_back_on_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            match lock_soon() {
                Some(mut open) => give_back(&mut open),
                None => give_back(&mut true),
            }
            previous(info);
        }));
    });
}

/// The lock, unless this thread or one that hangs in writing has it.
fn lock_soon() -> Option<MutexGuard<'static, bool>> {
    for _ in 0..20 {
        match OPEN.try_lock() {
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
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
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
    backend: CrosstermBackend<BufWriter<Stderr>>,
    shown: Buffer,
    has_color: bool,
}

impl Screen {
    pub(super) fn new(has_color: bool) -> Self {
        Self {
            backend: CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stderr())),
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
        let open = lock();
        if *open {
            self.backend.draw(self.shown.diff(&next).into_iter())?;
            Write::flush(&mut self.backend)?;
        }
        self.shown = next;
        Ok(())
    }
}
