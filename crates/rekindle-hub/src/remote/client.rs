//! Strict client of the Hub: redirects, retries, and the token for the Hub's own host alone.

use std::io::Read as _;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use super::address::{encode, is_same_origin, join, parse};
use super::agents::Agents;
use super::answer::{Answer, Watch};
use super::retry::{ATTEMPTS, backoff, requested_pause};
use crate::options::{HubOptions, TransferOptions};
use crate::transfer_error::{Refusal, TransferError, printable};

const MAX_REDIRECTS: usize = 10;
/// Bytes of a description in JSON.
const MAX_JSON: u64 = 16 << 20;
/// Longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// A client of one Hub.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Uri,
    /// The endpoint as it was given, without a slash at its end.
    base: String,
    token: Option<HeaderValue>,
    agents: Agents,
    pub(crate) options: TransferOptions,
}

/// A request for the content of a file, or for its description.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// The headers of the Hub's own answer; redirects to other hosts are not followed.
    Description,
    /// The content, or a part of it.
    Content(Option<Range<u64>>),
}

impl Client {
    /// Checks endpoint, token, proxies and certificates; opens no connection.
    pub(crate) fn new(options: &HubOptions) -> Result<Self, TransferError> {
        let token = options.token.as_deref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| TransferError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            endpoint: parse(&options.endpoint).ok_or(TransferError::Endpoint)?,
            base: options.endpoint.clone(),
            token: token.transpose()?,
            agents: Agents::new(&options.transfer)?,
            options: options.transfer.clone(),
        })
    }

    /// Returns an address below the endpoint: segments separated by slashes, each of them encoded.
    pub(crate) fn address(&self, segments: &[&str]) -> Result<Uri, TransferError> {
        let path = segments
            .iter()
            .flat_map(|segment| ["/".to_owned(), encode(segment)]);
        let text = format!("{}{}", self.base, path.collect::<String>());
        parse(&text).ok_or(TransferError::Endpoint)
    }

    /// Sends a request, follows redirects, and tries again where the server is busy or hangs up.
    pub(crate) fn ask(&self, address: &Uri, ask: &Ask) -> Result<Answer, TransferError> {
        let mut failed = 1;
        loop {
            let (error, requested) = match self.follow(address, ask) {
                Ok(answer) if is_answered(&answer, ask) => return Ok(answer),
                Ok(answer) => {
                    let pause = requested_pause(&answer.headers, Timestamp::now());
                    (TransferError::Refused(refusal(&answer)), pause)
                }
                Err(error) => (error, None),
            };
            if !error.may_pass() {
                return Err(error);
            }
            match requested {
                Some(pause) if pause > MAX_PAUSE => {
                    return Err(TransferError::Busy {
                        seconds: pause.as_secs(),
                    });
                }
                _ if failed == ATTEMPTS => return Err(error),
                Some(pause) => thread::sleep(pause),
                None => thread::sleep(backoff(self.options.retry_pause, failed)),
            }
            failed += 1;
        }
    }

    /// Reads a description in JSON of bounded length, with the headers that came with it.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        address: &Uri,
    ) -> Result<(T, HeaderMap), TransferError> {
        let answer = self.ask(address, &Ask::Content(None))?;
        let too_long = TransferError::Long { limit: MAX_JSON };
        if answer.length().is_some_and(|length| length > MAX_JSON) {
            return Err(too_long);
        }
        let headers = answer.headers.clone();
        let mut reader = answer.into_reader()?.take(MAX_JSON + 1);
        let mut watch = Watch::new(self.options.stall_window);
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match watch.read(&mut reader, &mut buffer)? {
                0 => break,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        if bytes.len() as u64 > MAX_JSON {
            return Err(too_long);
        }
        let value = serde_json::from_slice(&bytes).map_err(TransferError::Json)?;
        Ok((value, headers))
    }

    fn follow(&self, start: &Uri, ask: &Ask) -> Result<Answer, TransferError> {
        let mut address = start.clone();
        for redirects in 0..=MAX_REDIRECTS {
            let response = self.send(&address, ask)?;
            let (parts, body) = response.into_parts();
            let answer = Answer {
                status: parts.status,
                headers: parts.headers,
                address: address.clone(),
                is_redirected: redirects > 0,
                body,
            };
            let Some(location) = redirect(&answer) else {
                return Ok(answer);
            };
            let next = join(&address, location.as_bytes()).ok_or_else(|| {
                let location = String::from_utf8_lossy(location.as_bytes());
                TransferError::RedirectAddress {
                    location: printable(&location),
                }
            })?;
            let is_described =
                || answer.headers.contains_key("x-linked-etag") || !is_same_origin(&address, &next);
            if matches!(ask, Ask::Description) && is_described() {
                return Ok(answer);
            }
            address = next;
        }
        Err(TransferError::Redirects {
            limit: MAX_REDIRECTS,
        })
    }

    fn send(
        &self,
        address: &Uri,
        ask: &Ask,
    ) -> Result<ureq::http::Response<ureq::Body>, TransferError> {
        let (method, timeout) = match ask {
            Ask::Description => (Method::HEAD, self.options.head_timeout),
            Ask::Content(_) => (Method::GET, self.options.read_timeout),
        };
        let mut request = Request::builder().method(method).uri(address);
        if let Some(token) = &self.token
            && is_same_origin(address, &self.endpoint)
        {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Ask::Content(Some(range)) = ask {
            let range = format!("bytes={}-{}", range.start, range.end - 1);
            request = request.header(header::RANGE, range);
        }
        let request = request.body(()).map_err(ureq::Error::from);
        request
            .and_then(|request| self.agents.send(&request, timeout))
            .map_err(TransferError::Connection)
    }
}

/// True for success, and for a redirect that describes a file.
fn is_answered(answer: &Answer, ask: &Ask) -> bool {
    let is_description = matches!(ask, Ask::Description) && redirect(answer).is_some();
    answer.status.is_success() || is_description
}

/// Returns the target of a redirect.
fn redirect(answer: &Answer) -> Option<&HeaderValue> {
    let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers.get(header::LOCATION);
    location.filter(|_| is_redirect)
}

fn refusal(answer: &Answer) -> Refusal {
    Refusal {
        status: answer.status.as_u16(),
        code: answer.header("x-error-code").map(printable),
        message: answer.header("x-error-message").map(printable),
        is_redirected: answer.is_redirected,
        bytes: answer.length().unwrap_or(0),
    }
}

impl TransferError {
    /// True where the same request may succeed in a moment: a busy or failing server, or one that hung up.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                // 501 says that the server will never do it.
                matches!(refusal.status, 429 | 500 | 502..=599)
            }
            Self::Connection(error) => Self::is_cut(error),
            _ => false,
        }
    }
}
