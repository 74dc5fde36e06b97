//! Large files in parallel chunks, written in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use ureq::http::Uri;

use crate::blob::{BUFFER_BYTES, Partial};
use crate::download::Meter;
use crate::remote::{Answer, Ask, Client, Tries, Watch};
use crate::transfer_error::TransferError;

/// Connections at once.
const THREADS: usize = 8;
/// Chunks that are in memory at most: those that arrive, and those that wait for an earlier one.
const WINDOW: u64 = 2 * THREADS as u64;
/// Pause between two reports of progress.
const REPORT: Duration = Duration::from_millis(100);

/// The chunks of the rest of a file.
pub(crate) struct Chunks<'a> {
    client: &'a Client,
    source: &'a Uri,
    /// The address that the Hub redirected to, which holds for a while.
    direct: Mutex<Uri>,
    size: u64,
    chunk: u64,
    state: Mutex<State>,
    changed: Condvar,
    arrived: AtomicU64,
}

struct State {
    /// Start of the next chunk that nobody fetches.
    next: u64,
    /// End of what is written.
    written: u64,
    /// Complete chunks, by their start.
    ready: BTreeMap<u64, Vec<u8>>,
    /// The answer for the first chunk, which decided for chunks.
    first: Option<Answer>,
    failure: Option<TransferError>,
    is_stopped: bool,
}

impl<'a> Chunks<'a> {
    /// Prepares to fetch `rest` of a file from where `answer` came from.
    pub(crate) fn new(
        client: &'a Client,
        source: &'a Uri,
        answer: &Answer,
        rest: Range<u64>,
    ) -> Self {
        Self {
            client,
            source,
            direct: Mutex::new(answer.address.clone()),
            size: rest.end,
            chunk: client.options.chunk_bytes,
            state: Mutex::new(State {
                next: rest.start,
                written: rest.start,
                ready: BTreeMap::new(),
                first: None,
                failure: None,
                is_stopped: false,
            }),
            changed: Condvar::new(),
            arrived: AtomicU64::new(rest.start),
        }
    }

    /// Fetches all chunks, and appends each as soon as those before it are written.
    pub(crate) fn run(
        self,
        first: Answer,
        partial: &mut Partial,
        meter: &mut Meter<'_>,
    ) -> Result<(), TransferError> {
        self.state().first = Some(first);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| self.work())).collect();
            let outcome = self.write(&workers, partial, meter);
            self.state().is_stopped = true;
            self.changed.notify_all();
            outcome
        })
    }

    fn write(
        &self,
        workers: &[ScopedJoinHandle<'_, ()>],
        partial: &mut Partial,
        meter: &mut Meter<'_>,
    ) -> Result<(), TransferError> {
        while partial.length() < self.size {
            // Asked before the state is read: what a worker leaves is there when it has finished.
            let is_over = workers.iter().all(ScopedJoinHandle::is_finished);
            let mut state = self.state();
            if let Some(chunk) = state.ready.remove(&partial.length()) {
                drop(state);
                partial.append(&chunk)?;
                self.state().written = partial.length();
                self.changed.notify_all();
            } else if let Some(failure) = state.failure.take() {
                return Err(failure);
            } else if is_over {
                // A worker panicked; its panic continues at the end of the scope.
                return Err(TransferError::Stalled);
            } else {
                let waited = self.changed.wait_timeout(state, REPORT);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
            meter.at(self.arrived.load(Ordering::Relaxed));
        }
        meter.at(self.size);
        Ok(())
    }

    fn work(&self) {
        while let Some((range, first)) = self.claim() {
            let outcome = self.fetch(&range, first);
            let mut state = self.state();
            match outcome {
                Ok(bytes) => {
                    state.ready.insert(range.start, bytes);
                }
                Err(source) => {
                    state.failure.get_or_insert(TransferError::Part {
                        start: range.start,
                        end: range.end,
                        source: Box::new(source),
                    });
                    state.is_stopped = true;
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Returns the next chunk to fetch, as soon as the window has room for it.
    fn claim(&self) -> Option<(Range<u64>, Option<Answer>)> {
        let mut state = self.state();
        loop {
            if state.is_stopped || state.next >= self.size {
                return None;
            }
            if state.next < state.written + WINDOW * self.chunk {
                let range = state.next..(state.next + self.chunk).min(self.size);
                state.next = range.end;
                return Some((range, state.first.take()));
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Fetches a chunk; a broken transfer is continued where it broke.
    fn fetch(&self, range: &Range<u64>, first: Option<Answer>) -> Result<Vec<u8>, TransferError> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut tries = Tries::new(self.client.options.retry_pause, 0);
        let mut first = first;
        loop {
            let rest = range.start + bytes.len() as u64..range.end;
            let answer = match first.take() {
                Some(answer) => Ok(answer),
                None => self.ask(rest.clone()),
            };
            match answer.and_then(|answer| self.read(answer, &rest, &mut bytes)) {
                Ok(()) => return Ok(bytes),
                Err(error) if self.state().is_stopped => return Err(error),
                Err(error) => tries.again(error, bytes.len() as u64)?,
            }
        }
    }

    /// Asks where the last answer came from, and the Hub again if that address has expired.
    fn ask(&self, range: Range<u64>) -> Result<Answer, TransferError> {
        let ask = Ask::Content(Some(range));
        let direct = self.direct().clone();
        let answer = match self.client.ask(&direct, &ask) {
            Err(TransferError::Refused(refusal))
                if direct != *self.source && matches!(refusal.status, 401 | 403 | 404 | 410) =>
            {
                let answer = self.client.ask(self.source, &ask)?;
                *self.direct() = answer.address.clone();
                answer
            }
            outcome => outcome?,
        };
        if answer.status != 206 {
            return Err(TransferError::Malformed {
                what: "range of bytes",
            });
        }
        Ok(answer)
    }

    fn read(
        &self,
        answer: Answer,
        range: &Range<u64>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), TransferError> {
        answer.check_range(range, self.size)?;
        let mut reader = answer.into_reader()?;
        let mut watch = Watch::new(self.client.options.stall_window);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut remaining = range.end - range.start;
        while remaining > 0 {
            let wanted = remaining.min(BUFFER_BYTES as u64) as usize;
            let count = watch.read(&mut reader, &mut buffer[..wanted])?;
            if count == 0 || self.state().is_stopped {
                return Err(TransferError::cut());
            }
            bytes.extend_from_slice(&buffer[..count]);
            remaining -= count as u64;
            self.arrived.fetch_add(count as u64, Ordering::Relaxed);
        }
        // The end of the answer gives its connection back for the next chunk.
        let _ = watch.read(&mut reader, &mut [0]);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before its lock ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn direct(&self) -> MutexGuard<'_, Uri> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
