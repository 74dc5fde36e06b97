//! Retries of requests and transfers.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::HeaderMap;

use crate::transfer_error::TransferError;

/// Attempts in all, of which none makes progress.
pub(crate) const ATTEMPTS: u32 = 3;
/// Bytes that make an attempt count as progress.
const MIN_PROGRESS: u64 = 1 << 20;

/// Attempts of one transfer, which goes on as long as each makes progress.
#[derive(Debug)]
pub(crate) struct Tries {
    pause: Duration,
    broken: u32,
    highest: u64,
}

impl Tries {
    /// Begins with `length` bytes that are there already.
    pub(crate) fn new(pause: Duration, length: u64) -> Self {
        Self {
            pause,
            broken: 0,
            highest: length,
        }
    }

    /// Waits before another attempt, or returns the error if there is to be none.
    pub(crate) fn again(&mut self, error: TransferError, length: u64) -> Result<(), TransferError> {
        if !error.is_broken_transfer() {
            return Err(error);
        }
        if length >= self.highest.saturating_add(MIN_PROGRESS) {
            self.broken = 0;
            self.highest = length;
        } else {
            self.broken += 1;
        }
        if self.broken == ATTEMPTS {
            return Err(error);
        }
        thread::sleep(backoff(self.pause, self.broken.max(1)));
        Ok(())
    }
}

/// Returns the pause after the given number of failed attempts: doubled each time.
pub(super) fn backoff(pause: Duration, failed: u32) -> Duration {
    pause * 2_u32.pow(failed - 1)
}

/// Returns the pause that a busy server asks for, by `RateLimit` or `Retry-After`.
pub(super) fn requested_pause(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    text("ratelimit").and_then(rate_limit).or_else(|| {
        let value = text("retry-after")?;
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number that is too large is a long time.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
                .filter(|_| !value.is_empty());
        }
        let until = DateTimeParser::new().parse_timestamp(value).ok()?;
        Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
    })
}

/// Parses `"api";r=0;t=55`: no request remains, and 55 seconds until there are some.
fn rate_limit(value: &str) -> Option<Duration> {
    let parameter = |name: &str| {
        value.split(';').find_map(|part| {
            let (key, number) = part.split_once('=')?;
            (key.trim() == name).then(|| number.trim().parse::<u64>().ok())?
        })
    };
    let seconds = parameter("t").filter(|_| parameter("r") == Some(0))?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(name: &'static str, value: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(
            ureq::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )]);
        let now = "2015-10-21T07:27:00Z".parse().unwrap();
        requested_pause(&headers, now).map(|pause| pause.as_secs())
    }

    #[test]
    fn a_server_asks_for_a_pause_in_seconds_or_until_a_date() {
        assert_eq!(pause("retry-after", "7"), Some(7));
        assert_eq!(
            pause("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(60)
        );
        assert_eq!(
            pause("retry-after", "Wed, 21 Oct 2015 07:20:00 GMT"),
            Some(0)
        );
        assert_eq!(pause("retry-after", &"9".repeat(40)), Some(u64::MAX));
        assert_eq!(pause("retry-after", "soon"), None);
        assert_eq!(pause("retry-after", ""), None);
    }

    #[test]
    fn a_used_up_rate_limit_names_the_time_until_its_reset() {
        assert_eq!(pause("ratelimit", "\"api\";r=0;t=55"), Some(55));
        assert_eq!(pause("ratelimit", "\"api\"; r = 0; t = 5"), Some(5));
        assert_eq!(pause("ratelimit", "\"api\";r=3;t=55"), None);
    }

    #[test]
    fn attempts_continue_while_they_make_progress() {
        let mut tries = Tries::new(Duration::ZERO, 0);
        for attempt in 1..=10 {
            assert!(
                tries
                    .again(TransferError::Stalled, attempt * MIN_PROGRESS)
                    .is_ok()
            );
        }
        let mut again = |bytes| tries.again(TransferError::Stalled, 10 * MIN_PROGRESS + bytes);
        assert!(again(1).is_ok() && again(2).is_ok());
        assert!(again(3).is_err());
    }
}
