//! Agents of `ureq`, which hold timeouts, proxies, certificates and open connections.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, http};

use super::proxy::Proxies;
use crate::options::TransferOptions;
use crate::transfer_error::TransferError;

/// A dead network is noticed after a lookup and a connection attempt of this length.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections that are kept: one for each thread of a parallel download.
const IDLE_CONNECTIONS: usize = 8;
const USER_AGENT: &str = concat!("rekindle/", env!("CARGO_PKG_VERSION"));

/// The agents of all routes: direct, and through the proxy of each scheme.
#[derive(Debug)]
pub(super) struct Agents {
    routes: Routes,
    /// For a system without certificates: those of Mozilla, which are built in.
    fallback: OnceLock<Routes>,
    proxies: Proxies,
    timeout: Duration,
}

#[derive(Debug)]
struct Routes {
    direct: Agent,
    http: Option<Agent>,
    https: Option<Agent>,
}

impl Agents {
    /// Reads certificates and proxies; opens no connection.
    pub(super) fn new(options: &TransferOptions) -> Result<Self, TransferError> {
        let proxies = Proxies::new(&options.proxies)
            .map_err(|(variable, source)| TransferError::Proxy { variable, source })?;
        let mut certificates = Vec::new();
        for path in &options.certificates {
            certificates.extend(read_certificates(path)?);
        }
        let roots = if options.certificates.is_empty() {
            RootCerts::PlatformVerifier
        } else {
            RootCerts::new_with_certs(&certificates)
        };
        Ok(Self {
            routes: Routes::new(&proxies, roots, options.read_timeout),
            fallback: OnceLock::new(),
            proxies,
            timeout: options.read_timeout,
        })
    }

    /// Sends a request, and waits at most `timeout` for the head of the answer.
    pub(super) fn send(
        &self,
        request: &http::Request<()>,
        timeout: Duration,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let fallback = || Routes::new(&self.proxies, RootCerts::WebPki, self.timeout);
        let routes = self.fallback.get().unwrap_or(&self.routes);
        match self.send_by(routes, request, timeout) {
            Err(error) if has_no_roots(&error) => {
                self.send_by(self.fallback.get_or_init(fallback), request, timeout)
            }
            outcome => outcome,
        }
    }

    fn send_by(
        &self,
        routes: &Routes,
        request: &http::Request<()>,
        timeout: Duration,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let agent = routes.agent(&self.proxies, request.uri());
        if timeout == self.timeout {
            return agent.run(request.clone());
        }
        let request = agent
            .configure_request(request.clone())
            .timeout_recv_response(Some(timeout))
            .build();
        agent.run(request)
    }
}

impl Routes {
    fn new(proxies: &Proxies, roots: RootCerts, timeout: Duration) -> Self {
        let agent = |proxy: &Proxy| agent(Some(proxy.clone()), roots.clone(), timeout);
        Self {
            http: proxies.http.as_ref().map(agent),
            https: proxies.https.as_ref().map(agent),
            direct: self::agent(None, roots.clone(), timeout),
        }
    }

    fn agent(&self, proxies: &Proxies, address: &Uri) -> &Agent {
        let agent = if address.scheme_str() == Some("https") {
            &self.https
        } else {
            &self.http
        };
        match agent {
            Some(agent) if !proxies.is_direct(address) => agent,
            _ => &self.direct,
        }
    }
}

fn agent(proxy: Option<Proxy>, roots: RootCerts, timeout: Duration) -> Agent {
    Agent::config_builder()
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(timeout))
        .timeout_per_read(Some(timeout))
        .timeout_per_write(Some(timeout))
        .max_idle_connections(2 * IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .build()
        .into()
}

/// Reads the certificates of a PEM file, or of all files in a folder.
fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, TransferError> {
    let failed = |source| TransferError::Certificates {
        path: path.to_owned(),
        source,
    };
    let mut certificates = Vec::new();
    if path.is_dir() {
        for entry in path.read_dir().map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.is_file() {
                certificates.extend(pem(&fs::read(file).map_err(failed)?));
            }
        }
    } else {
        certificates = pem(&fs::read(path).map_err(failed)?);
    }
    if certificates.is_empty() {
        let message = "it holds no certificates in PEM format";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(certificates)
}

fn pem(bytes: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

/// True for the error of `rustls-platform-verifier` on a system without certificates, which has no type.
fn has_no_roots(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Rustls(_)) && error.to_string().contains("No CA certificates")
}
