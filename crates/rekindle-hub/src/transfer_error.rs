//! Errors of requests and transfers.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Characters of a server's text that are shown.
const MAX_TEXT: usize = 200;

/// The reason why a request or a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The endpoint is not an address of a web server.
    #[error("the endpoint is not an `http` or `https` address")]
    Endpoint,
    /// The access token cannot be sent.
    #[error("the access token holds characters that no HTTP header can carry")]
    Token,
    /// A proxy of the environment is not an address.
    #[error("`{variable}` is not the address of a proxy")]
    Proxy {
        /// The environment variable.
        variable: &'static str,
        /// What happened.
        source: ureq::Error,
    },
    /// The certificates that the environment names cannot be read.
    #[error("cannot read certificates from `{path}`", path = .path.display())]
    Certificates {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// No connection was made, or it broke.
    #[error("{}", printable(&.0.to_string()))]
    Connection(ureq::Error),
    /// The server refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The server asks for a pause that is too long to wait for.
    #[error("the server is busy, and asks to try again in {seconds} seconds")]
    Busy {
        /// The pause.
        seconds: u64,
    },
    /// The redirects have no end.
    #[error("more than {limit} redirects")]
    Redirects {
        /// Redirects that are followed.
        limit: usize,
    },
    /// A redirect leads to an address that is not followed.
    #[error("a redirect to `{location}` is not followed")]
    RedirectAddress {
        /// The address.
        location: String,
    },
    /// A description is too long.
    #[error("the answer is longer than {limit} bytes")]
    Long {
        /// The bytes that are read.
        limit: u64,
    },
    /// The list of files has no end.
    #[error("the list of files has more than {pages} pages or {entries} entries")]
    Listing {
        /// Pages that are read.
        pages: usize,
        /// Entries that are read.
        entries: usize,
    },
    /// The answer is compressed.
    #[error("the answer is compressed (`{encoding}`), which was not asked for")]
    Encoded {
        /// Its encoding.
        encoding: String,
    },
    /// A description is not the JSON that the Hub sends.
    #[error("the answer cannot be parsed: {}", printable(&.0.to_string()))]
    Json(serde_json::Error),
    /// A part of an answer has the wrong form.
    #[error("the answer has no valid {what}")]
    Malformed {
        /// The part.
        what: &'static str,
    },
    /// The file is larger than any model's.
    #[error("the file has {size} bytes, and the limit is {limit}")]
    Size {
        /// Its size as the Hub lists it.
        size: u64,
        /// The largest size that is downloaded.
        limit: u64,
    },
    /// The Hub announces two different hashes for the same content.
    #[error("the Hub lists hash {listed}, and announces {announced}")]
    TwoHashes {
        /// Hash of the listing.
        listed: String,
        /// Hash of the file's own header.
        announced: String,
    },
    /// Less than 1 KiB a second arrives.
    #[error("the transfer has stalled")]
    Stalled,
    /// The content has another length than the Hub lists.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// The size as the Hub lists it.
        expected: u64,
        /// The size that was announced or that arrived.
        found: u64,
    },
    /// The content has another hash than the Hub announces.
    #[error("hash {found} instead of {expected}")]
    Hash {
        /// The hash that the Hub announces.
        expected: String,
        /// The hash of what arrived.
        found: String,
    },
    /// A part of a large file did not arrive.
    #[error("bytes {start} to {end} did not arrive in several attempts")]
    Part {
        /// The first byte.
        start: u64,
        /// The end, exclusive.
        end: u64,
        /// What happened last.
        source: Box<TransferError>,
    },
    /// The cache could not be written.
    #[error("cannot write `{path}`", path = .path.display())]
    Cache {
        /// The file or folder in the cache.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// A refusal by a server; its texts hold no control characters and have bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The Hub's own code, such as `GatedRepo`.
    pub code: Option<String>,
    /// The Hub's explanation.
    pub message: Option<String>,
    /// True if the server that refused is one that the Hub redirected to.
    pub is_redirected: bool,
    /// Bytes of the page that came with the refusal.
    pub bytes: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HTTP status {}", self.status)?;
        match self.message.as_deref().filter(|text| !text.is_empty()) {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

impl Refusal {
    /// True where the address that the Hub redirected to is not valid, as one that has expired.
    pub(crate) fn is_expired_address(&self) -> bool {
        self.is_redirected
            && matches!(self.status, 401 | 403 | 404 | 410)
            && self.code.as_deref().is_none_or(str::is_empty)
    }
}

impl TransferError {
    /// A connection that ended before the content did.
    pub(crate) fn cut() -> Self {
        Self::Connection(ureq::Error::Io(io::ErrorKind::UnexpectedEof.into()))
    }

    /// True where another attempt may do better with what has arrived.
    pub(crate) fn is_broken_transfer(&self) -> bool {
        match self {
            Self::Connection(error) => !Self::is_untrusted(error),
            Self::Refused(refusal) => refusal.is_expired_address(),
            Self::Stalled | Self::Malformed { .. } => true,
            _ => false,
        }
    }

    /// True where what has arrived is not what the Hub lists.
    pub(crate) fn is_wrong_content(&self) -> bool {
        matches!(self, Self::Length { .. } | Self::Hash { .. })
    }

    /// True for a connection that was made and then broke.
    pub(crate) fn is_cut(error: &ureq::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(error, ureq::Error::Io(error)
            if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
    }

    /// True for a server that gives no valid certificate, or for a system that knows none.
    pub(crate) fn is_untrusted(error: &ureq::Error) -> bool {
        match error {
            // The type of the error inside is that of `rustls`; damaged data has the same kind.
            ureq::Error::Io(error) => {
                error.kind() == io::ErrorKind::InvalidData
                    && error.to_string().contains("certificate")
            }
            error => matches!(error, ureq::Error::Rustls(_) | ureq::Error::Tls(_)),
        }
    }

    /// True where no connection was made, or nothing came over it.
    pub(crate) fn is_unreachable(error: &ureq::Error) -> bool {
        match error {
            ureq::Error::Io(_) => !Self::is_cut(error) && !Self::is_untrusted(error),
            error => matches!(
                error,
                ureq::Error::Timeout(_)
                    | ureq::Error::HostNotFound
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::ConnectProxyFailed(_)
            ),
        }
    }
}

/// Returns a server's text without control characters, cut to a length that fits into a message.
pub(crate) fn printable(text: &str) -> String {
    let is_shown = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_shown).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_can_be_sent_between_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<crate::hub_error::HubError>();
    }

    #[test]
    fn texts_of_a_server_are_shown_without_control_characters() {
        assert_eq!(printable("no \x1b]0;OWNED\x07\u{202e}é\n"), "no ]0;OWNEDé");
        assert_eq!(printable(&"x".repeat(10_000)).len(), MAX_TEXT);
    }
}
