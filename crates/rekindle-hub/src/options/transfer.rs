//! Settings of transfers, and of how files are stored.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The silence after which `huggingface_hub` gives a connection up, in seconds.
const TIMEOUT: u64 = 10;
const MEBIBYTE: u64 = 1 << 20;

/// Settings of transfers: timeouts, proxies, certificates and storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferOptions {
    /// Silence after which a transfer is broken (`HF_HUB_DOWNLOAD_TIMEOUT`, in seconds).
    pub read_timeout: Duration,
    /// Time within which the Hub must describe a file (`HF_HUB_ETAG_TIMEOUT`, in seconds).
    pub head_timeout: Duration,
    /// Time over which at least 1 KiB a second must arrive.
    pub stall_window: Duration,
    /// Pause before the second attempt; it is doubled before each further one.
    pub retry_pause: Duration,
    /// Bytes above which a file is downloaded in parallel chunks.
    pub parallel_above: u64,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// True: snapshots link to blobs; false (`HF_HUB_DISABLE_SYMLINKS`): they hold the files themselves.
    pub symlinks: bool,
    /// Proxies.
    pub proxies: ProxyOptions,
    /// Files or folders with certificates in PEM format, which are trusted in place of the system's
    /// (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`).
    pub certificates: Vec<PathBuf>,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(TIMEOUT),
            head_timeout: Duration::from_secs(TIMEOUT),
            stall_window: Duration::from_secs(15),
            retry_pause: Duration::from_secs(1),
            parallel_above: 64 * MEBIBYTE,
            chunk_bytes: 8 * MEBIBYTE,
            symlinks: true,
            proxies: ProxyOptions::default(),
            certificates: Vec::new(),
        }
    }
}

impl TransferOptions {
    /// Reads variables that are set and not empty.
    pub(super) fn from_lookup(variable: impl Fn(&str) -> Option<String>) -> Self {
        let seconds = |name: &str| {
            let value = variable(name).and_then(|value| value.trim().parse().ok());
            Duration::from_secs(value.filter(|value| *value > 0).unwrap_or(TIMEOUT))
        };
        let either = |name: &str| variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
        let bundles = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
        Self {
            read_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
            head_timeout: seconds("HF_HUB_ETAG_TIMEOUT"),
            symlinks: !variable("HF_HUB_DISABLE_SYMLINKS")
                .is_some_and(|value| super::is_true(&value)),
            proxies: ProxyOptions {
                http: either("HTTP_PROXY"),
                https: either("HTTPS_PROXY"),
                all: either("ALL_PROXY"),
                no_proxy: either("NO_PROXY"),
            },
            certificates: bundles
                .into_iter()
                .filter_map(variable)
                .map(PathBuf::from)
                .collect(),
            ..Self::default()
        }
    }
}

/// Proxies, as `HTTP_PROXY` and its relatives name them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Proxy for addresses of the scheme `http`.
    pub http: Option<String>,
    /// Proxy for addresses of the scheme `https`.
    pub https: Option<String>,
    /// Proxy for the schemes that have none.
    pub all: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas; `*` for all.
    pub no_proxy: Option<String>,
}

/// Passwords stay out of logs.
impl fmt::Debug for ProxyOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProxyOptions")
            .field("has_http", &self.http.is_some())
            .field("has_https", &self.https.is_some())
            .field("has_all", &self.all.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> TransferOptions {
        TransferOptions::from_lookup(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn timeouts_are_those_of_huggingface_hub() {
        let options = options(&[
            ("HF_HUB_DOWNLOAD_TIMEOUT", "30"),
            ("HF_HUB_ETAG_TIMEOUT", "0"),
        ]);
        assert_eq!(options.read_timeout, Duration::from_secs(30));
        assert_eq!(options.head_timeout, Duration::from_secs(10));
    }

    #[test]
    fn proxies_are_read_in_lower_case_first() {
        let options = options(&[
            ("HTTPS_PROXY", "upper"),
            ("https_proxy", "http://ada:secret@lower"),
            ("NO_PROXY", "*"),
        ]);
        assert_eq!(
            options.proxies.https.as_deref(),
            Some("http://ada:secret@lower")
        );
        assert_eq!(options.proxies.no_proxy.as_deref(), Some("*"));
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn certificates_and_symlinks_are_read() {
        let options = options(&[
            ("CURL_CA_BUNDLE", "/ca.pem"),
            ("HF_HUB_DISABLE_SYMLINKS", "yes"),
        ]);
        assert_eq!(options.certificates, [PathBuf::from("/ca.pem")]);
        assert!(!options.symlinks);
    }
}
