//! What every request must be, and what every answer says about itself.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::page::POLICY;

/// Refuses a request that was not meant for this server.
///
/// A page of another host can send a browser here under its own name (DNS rebinding); the `Host` header
/// then tells.
pub(super) async fn check(port: u16, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    let is_ours = host
        .and_then(|host| host.to_str().ok())
        .is_some_and(|host| is_loopback(host, port));
    let mut response = if is_ours {
        next.run(request).await
    } else {
        (
            StatusCode::FORBIDDEN,
            "this server answers to localhost only\n",
        )
            .into_response()
    };
    let headers = response.headers_mut();
    let policy = HeaderValue::try_from(format!("{POLICY}; frame-ancestors 'none'"));
    if let Ok(policy) = policy {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (header, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(header, HeaderValue::from_static(value));
    }
    response
}

fn is_loopback(host: &str, port: u16) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let rest = host.get(..name.len());
        let is_named = rest.is_some_and(|rest| rest.eq_ignore_ascii_case(name));
        is_named && host[name.len()..] == format!(":{port}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_by_its_own_names() {
        for host in [
            "localhost:7000",
            "LocalHost:7000",
            "127.0.0.1:7000",
            "[::1]:7000",
        ] {
            assert!(is_loopback(host, 7000), "{host}");
        }
        for host in [
            "localhost",
            "localhost:7001",
            "localhost:70000",
            "evil.example:7000",
            "localhost.evil.example:7000",
            "127.0.0.1.evil.example:7000",
            "évil:7000",
            "",
        ] {
            assert!(!is_loopback(host, 7000), "{host}");
        }
    }
}
