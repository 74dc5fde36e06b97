//! An answer on its way to standard output, and Ctrl-C while it is written.

use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use crate::failure::INTERRUPTED;
use crate::progress::note;

/// Listens to Ctrl-C: while an answer is written it ends the answer, else the program.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    is_writing: Arc<AtomicBool>,
    is_stopped: Arc<AtomicBool>,
}

/// Takes the pieces of one answer.
pub(crate) struct Stream<'a> {
    interrupt: &'a Interrupt,
    out: Option<io::StdoutLock<'static>>,
    /// Whether white space at the beginning is left out.
    is_message: bool,
    is_begun: bool,
    failure: Option<io::Error>,
    clock: Clock,
}

/// When tokens came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    first: Option<Instant>,
    last: Instant,
    tokens: usize,
}

impl Interrupt {
    /// Listens from here on.
    pub(crate) fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let Self {
            is_writing,
            is_stopped,
        } = interrupt.clone();
        ctrlc::set_handler(move || {
            let is_writing = is_writing.load(Ordering::Relaxed);
            if !is_writing || is_stopped.swap(true, Ordering::Relaxed) {
                if io::stdin().is_terminal() {
                    note("");
                }
                std::process::exit(i32::from(INTERRUPTED));
            }
        })?;
        Ok(interrupt)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

impl<'a> Stream<'a> {
    /// Writes pieces as they come.
    pub(crate) fn shown(interrupt: &'a Interrupt, is_message: bool) -> Self {
        let mut stream = Self::silent(interrupt);
        stream.out = Some(io::stdout().lock());
        stream.is_message = is_message;
        stream
    }

    /// Writes nothing.
    pub(crate) fn silent(interrupt: &'a Interrupt) -> Self {
        interrupt.is_stopped.store(false, Ordering::Relaxed);
        interrupt.is_writing.store(true, Ordering::Relaxed);
        Self {
            interrupt,
            out: None,
            is_message: false,
            is_begun: false,
            failure: None,
            clock: Clock::start(),
        }
    }

    /// Takes a piece; breaks after Ctrl-C, or when nobody reads any more.
    pub(crate) fn push(&mut self, piece: &str) -> ControlFlow<()> {
        self.clock.count();
        let piece = if self.is_message && !self.is_begun {
            piece.trim_start()
        } else {
            piece
        };
        self.is_begun |= !piece.is_empty();
        if let Err(error) = self.write(piece) {
            self.failure = Some(error);
        }
        if self.failure.is_some() || self.interrupt.is_stopped() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Ends the line, and tells when tokens came.
    pub(crate) fn finish(mut self) -> io::Result<Clock> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.write("\n")?;
        Ok(self.clock)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.out {
            Some(out) if !text.is_empty() => {
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.interrupt.is_writing.store(false, Ordering::Relaxed);
    }
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            first: None,
            last: now,
            tokens: 0,
        }
    }

    fn count(&mut self) {
        self.last = Instant::now();
        self.first.get_or_insert(self.last);
        self.tokens += 1;
    }

    /// Seconds until the first token, in which the prompt is read and a GPU compiles its kernels.
    pub(crate) fn seconds_to_first(&self) -> Option<f64> {
        let first = self.first?;
        Some(first.duration_since(self.start).as_secs_f64())
    }

    /// Tokens after the first one in a second; none if there is one token alone.
    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.last.duration_since(self.first?).as_secs_f64();
        (self.tokens > 1 && seconds > 0.0).then(|| (self.tokens - 1) as f64 / seconds)
    }
}
