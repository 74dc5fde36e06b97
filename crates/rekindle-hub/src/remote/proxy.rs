//! Proxies, and the hosts that are reached without one.

use ureq::Proxy;
use ureq::http::Uri;

use super::address::port;
use crate::options::ProxyOptions;

/// Proxies by scheme, and hosts that are reached without one.
#[derive(Debug)]
pub(super) struct Proxies {
    pub(super) http: Option<Proxy>,
    pub(super) https: Option<Proxy>,
    direct: Vec<String>,
}

impl Proxies {
    /// Parses the proxies that the environment names; the error is the name of the variable that cannot be read.
    pub(super) fn new(options: &ProxyOptions) -> Result<Self, (&'static str, ureq::Error)> {
        let parse = |name, value: &Option<String>| match value {
            Some(value) => Proxy::new(value).map(Some).map_err(|error| (name, error)),
            None => Ok(None),
        };
        let all = parse("ALL_PROXY", &options.all)?;
        let direct = options.no_proxy.as_deref().unwrap_or_default();
        Ok(Self {
            http: parse("HTTP_PROXY", &options.http)?.or_else(|| all.clone()),
            https: parse("HTTPS_PROXY", &options.https)?.or(all),
            direct: direct
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        })
    }

    /// True if `NO_PROXY` lists the host of an address, a domain that it belongs to, or `*`.
    pub(super) fn is_direct(&self, address: &Uri) -> bool {
        let host = address.host().unwrap_or_default().to_ascii_lowercase();
        let host = host.trim_matches(['[', ']']);
        self.direct.iter().any(|entry| {
            let (name, entry_port) = match entry.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
                _ => (entry.as_str(), None),
            };
            let name = name.trim_matches(['[', ']']);
            let name = name.trim_start_matches('*').trim_start_matches('.');
            let is_below = || {
                host.strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
            };
            entry_port.is_none_or(|entry_port: u16| entry_port == port(address))
                && (name.is_empty() || host == name || is_below())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        let options = ProxyOptions {
            https: Some("http://ada:p%40ss@proxy:3128".to_owned()),
            all: Some("socks5://other:1080".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
            ..ProxyOptions::default()
        };
        Proxies::new(&options).unwrap()
    }

    fn is_direct(no_proxy: &str, address: &str) -> bool {
        proxies(no_proxy).is_direct(&address.parse().unwrap())
    }

    #[test]
    fn the_scheme_chooses_the_proxy_and_its_password_is_decoded() {
        let proxies = proxies("");
        let https = proxies.https.unwrap();
        assert_eq!((https.host(), https.port()), ("proxy", 3128));
        assert_eq!(
            (https.username(), https.password()),
            (Some("ada"), Some("p@ss"))
        );
        assert_eq!(proxies.http.unwrap().host(), "other");
    }

    #[test]
    fn no_proxy_lists_hosts_domains_and_ports() {
        for (list, address, expected) in [
            ("*", "https://hub", true),
            ("a, hub.co", "https://hub.co", true),
            ("hub.co", "https://cdn.hub.co", true),
            (".hub.co", "https://cdn.hub.co", true),
            ("*.hub.co", "https://cdn.hub.co", true),
            ("hub.co", "https://nothub.co", false),
            ("hub.co:443", "https://hub.co", true),
            ("hub.co:80", "https://hub.co", false),
            ("127.0.0.1", "http://127.0.0.1:8000", true),
            ("::1", "http://[::1]:8000", true),
            ("[::1]", "http://[::1]:8000", true),
            ("", "https://hub", false),
        ] {
            assert_eq!(is_direct(list, address), expected, "{list} {address}");
        }
    }

    #[test]
    fn a_proxy_that_is_no_address_is_an_error() {
        let options = ProxyOptions {
            https: Some("ftp://proxy".to_owned()),
            ..ProxyOptions::default()
        };
        assert_eq!(Proxies::new(&options).unwrap_err().0, "HTTPS_PROXY");
    }
}
