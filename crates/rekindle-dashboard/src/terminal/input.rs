//! Keys of the terminal.

use std::io;
use std::time::Duration;

use super::keys::Key;

/// Waits for keys, at most so long.
///
/// The event source of crossterm (0.29) is not used on Unix: once the terminal is gone it reads again and
/// again without end (crossterm-rs/crossterm#793).
///
/// # Errors
///
/// When there is no terminal any more.
#[cfg(unix)]
pub(super) fn wait(longest: Duration) -> io::Result<Vec<Key>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;

    let stdin = io::stdin();
    let mut sources = [PollFd::new(&stdin, PollFlags::IN)];
    let longest = Timespec {
        tv_sec: longest.as_secs() as _,
        tv_nsec: longest.subsec_nanos().into(),
    };
    match poll(&mut sources, Some(&longest)) {
        Ok(0) | Err(Errno::INTR) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let is_gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    if sources[0].revents().intersects(is_gone) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = [0; 256];
    match rustix::io::read(&stdin, &mut bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(super::keys::parse(&bytes[..length])),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Waits for keys, at most so long.
#[cfg(not(unix))]
pub(super) fn wait(longest: Duration) -> io::Result<Vec<Key>> {
    use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};

    if !poll(longest)? {
        return Ok(Vec::new());
    }
    let Event::Key(event) = read()? else {
        return Ok(Vec::new());
    };
    if event.kind == KeyEventKind::Release {
        return Ok(Vec::new());
    }
    let key = match event.code {
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab | KeyCode::Right | KeyCode::Down => Key::Next,
        KeyCode::BackTab | KeyCode::Left | KeyCode::Up => Key::Previous,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![key])
}
