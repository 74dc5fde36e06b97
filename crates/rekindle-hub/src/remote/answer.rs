//! Answers of a server, and the readers of their content.

use std::io::Read;
use std::ops::Range;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::{Body, BodyReader};

use crate::transfer_error::{TransferError, printable};

/// Bytes a second below which a transfer is stalled.
const MIN_RATE: f64 = 1024.0;

/// The answer to a request, after redirects.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The address that answered.
    pub(crate) address: Uri,
    /// True if that is not the address that was asked.
    pub(crate) is_redirected: bool,
    pub(super) body: Body,
}

impl Answer {
    /// Returns the value of a header, if it is plain text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the announced length of the body.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Reads the body; a compressed one is refused, because its length and hash are not those of the content.
    pub(crate) fn into_reader(self) -> Result<BodyReader<'static>, TransferError> {
        match self.header(header::CONTENT_ENCODING.as_str()) {
            Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
                Err(TransferError::Encoded {
                    encoding: printable(encoding),
                })
            }
            _ => Ok(self.body.into_reader()),
        }
    }

    /// Checks that this answers a request for `range` of a file of `size` bytes.
    pub(crate) fn check_range(&self, range: &Range<u64>, size: u64) -> Result<(), TransferError> {
        let parse = || {
            let text = self
                .header("content-range")?
                .trim()
                .strip_prefix("bytes ")?;
            let (bounds, total) = text.split_once('/')?;
            let (first, last) = bounds.split_once('-')?;
            let number = |text: &str| text.trim().parse::<u64>().ok();
            Some((number(first)?, number(last)?, number(total)))
        };
        match parse() {
            Some((_, _, Some(total))) if total != size => Err(TransferError::Length {
                expected: size,
                found: total,
            }),
            Some((first, last, _)) if first == range.start && last == range.end - 1 => Ok(()),
            _ => Err(TransferError::Malformed {
                what: "range of bytes",
            }),
        }
    }
}

/// Watches the speed of a transfer.
#[derive(Debug)]
pub(crate) struct Watch {
    window: Duration,
    since: Instant,
    bytes: usize,
}

impl Watch {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Reads once; fails if less than 1 KiB a second has arrived over the window.
    pub(crate) fn read(
        &mut self,
        reader: &mut impl Read,
        buffer: &mut [u8],
    ) -> Result<usize, TransferError> {
        let count = reader
            .read(buffer)
            .map_err(|error| TransferError::Connection(error.into()))?;
        self.bytes += count;
        let elapsed = self.since.elapsed();
        if elapsed >= self.window {
            if (self.bytes as f64) < MIN_RATE * elapsed.as_secs_f64() {
                return Err(TransferError::Stalled);
            }
            *self = Self::new(self.window);
        }
        Ok(count)
    }
}
