//! Addresses of the Hub and of the servers that it redirects to.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use ureq::http::Uri;

/// Characters that `huggingface_hub` encodes in a revision: all but those that RFC 3986 calls unreserved.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Characters that servers put into a `Location` although no address may hold them.
const FORBIDDEN: AsciiSet = percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Encodes one segment of a path.
pub(super) fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, &SEGMENT).to_string()
}

/// Parses an absolute address with a host, of the scheme `http` or `https`.
pub(super) fn parse(text: &str) -> Option<Uri> {
    let address: Uri = text.parse().ok()?;
    let is_http = matches!(address.scheme_str(), Some("http" | "https"));
    (is_http && address.host().is_some_and(|host| !host.is_empty())).then_some(address)
}

/// Returns the address that a `Location` header of an answer from `base` names.
///
/// None for other schemes than `http` and `https`, and for a step from `https` down to `http`.
pub(super) fn join(base: &Uri, location: &[u8]) -> Option<Uri> {
    let location = percent_encode(location, &FORBIDDEN).to_string();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let text = if has_scheme(&location) {
        location
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else {
        let (path, query) = match location.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (location.as_str(), String::new()),
        };
        format!(
            "{scheme}://{authority}{}{query}",
            join_path(base.path(), path)
        )
    };
    let next = parse(&text)?;
    (scheme == "http" || next.scheme_str() == Some("https")).then_some(next)
}

/// Resolves a path against that of a base, without its `.` and `..` (RFC 3986, section 5.2.4).
fn join_path(base: &str, path: &str) -> String {
    if path.is_empty() {
        return base.to_owned();
    }
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    };
    let mut joined: Vec<&str> = Vec::new();
    for segment in whole.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                joined.pop();
            }
            segment => joined.push(segment),
        }
    }
    format!("/{}", joined.join("/"))
}

/// True if both have the same scheme, host and port.
pub(super) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let host = |address: &Uri| address.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// Returns the port of an address, the scheme's own where none is written.
pub(super) fn port(address: &Uri) -> u16 {
    let default = if address.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    address.port_u16().unwrap_or(default)
}

fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, location: &str) -> Option<String> {
        join(&base.parse().unwrap(), location.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn locations_are_resolved_against_the_address_they_came_from() {
        let base = "http://hub:81/a/b?c";
        for (location, expected) in [
            ("https://cdn/x?y#z", "https://cdn/x?y"),
            ("//cdn/x", "http://cdn/x"),
            ("/x", "http://hub:81/x"),
            ("x", "http://hub:81/a/x"),
            ("./x/", "http://hub:81/a/x/"),
            ("../../x/../y?../z", "http://hub:81/y?../z"),
            ("/a/./b//c", "http://hub:81/a/b//c"),
            ("?d", "http://hub:81/a/b?d"),
            ("/x y\"ü", "http://hub:81/x%20y%22%C3%BC"),
        ] {
            assert_eq!(joined(base, location).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_schemes_and_steps_down_to_http_are_refused() {
        for location in [
            "file:///etc/passwd",
            "ftp://x/y",
            "javascript:1",
            "http://",
            "",
        ] {
            let expected = location.is_empty().then(|| "http://hub/".to_owned());
            assert_eq!(joined("http://hub/", location), expected, "{location}");
        }
        assert_eq!(joined("https://hub/", "http://hub/x"), None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same =
            |one: &str, other: &str| is_same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://hub/a", "https://HUB:443/b"));
        assert!(!same("https://hub", "http://hub"));
        assert!(!same("http://hub:1", "http://hub:2"));
        assert!(!same("http://hub", "http://hub.evil"));
    }

    #[test]
    fn a_revision_is_one_segment() {
        assert_eq!(encode("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encode("v1.0-a_b~"), "v1.0-a_b~");
    }
}
