//! Redirects, proxies and settings of the connection.

use std::io::{BufRead, BufReader, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rekindle_hub::{HubError, HubOptions, resolve};

use crate::server::{FakeHub, MODEL};
use crate::{cached, setup, tiny_model};

const WEIGHTS: &str = "model.safetensors";

/// A Hub that redirects these requests to another host, and that host.
fn two_hosts(part: &'static str) -> (FakeHub, FakeHub) {
    let other = FakeHub::start(tiny_model(), None);
    let target = other.endpoint.clone();
    let hub = FakeHub::hooked(tiny_model(), move |request, response| {
        if !request.path.contains(part) {
            return response;
        }
        let (path, status) = match request.path.rsplit_once("/resolve/") {
            Some((_, file)) => (format!("/cdn/{}", file.rsplit('/').next().unwrap()), 302),
            None => (request.path.clone(), 307),
        };
        let mut response = response.with("Location", format!("{target}{path}"));
        response.status = status;
        response
    });
    (hub, other)
}

#[test]
fn the_token_is_never_sent_to_another_host() {
    for part in ["/resolve/", "/revision/", "/tree/"] {
        let (hub, other) = two_hosts(part);
        let (_hub, _cache, mut options) = cached(hub);
        options.token = Some("hf_mine".to_owned());
        resolve(MODEL, &options, &mut ()).unwrap();
        let requests = other.requests();
        assert!(!requests.is_empty());
        assert!(
            requests
                .iter()
                .all(|request| request.authorization.is_none()),
            "{part}"
        );
    }
}

#[test]
fn requests_name_the_program_and_ask_for_plain_content() {
    let (hub, _cache, options) = setup(tiny_model(), None);
    resolve(MODEL, &options, &mut ()).unwrap();
    let agent = concat!("user-agent: rekindle/", env!("CARGO_PKG_VERSION")).to_owned();
    for request in hub.requests() {
        assert!(request.headers.contains(&agent), "{:?}", request.headers);
        let plain = "accept-encoding: identity".to_owned();
        assert!(request.headers.contains(&plain), "{:?}", request.headers);
    }
}

#[test]
fn relative_redirects_are_followed() {
    let hub = FakeHub::hooked(tiny_model(), |request, response| {
        if request.is_resolve(WEIGHTS) {
            response.with("Location", format!("../../../../cdn/../cdn/{WEIGHTS}"))
        } else {
            response
        }
    });
    let (hub, _cache, options) = cached(hub);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert!(
        hub.requests()
            .iter()
            .any(|request| request.path == format!("/cdn/{WEIGHTS}"))
    );
}

#[test]
fn a_revision_is_one_segment_of_the_address() {
    let (hub, _cache, options) = setup(tiny_model(), None);
    let error = resolve("org/tiny@refs/pr/1", &options, &mut ()).unwrap_err();
    assert!(matches!(error, HubError::UnknownRevision { .. }), "{error}");
    assert_eq!(
        hub.requests()[0].path,
        "/api/models/org/tiny/revision/refs%2Fpr%2F1"
    );
}

/// A proxy, and the heads of the requests that it got.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || tunnel(&stream.unwrap(), &shared));
        }
    });
    (address, heads)
}

fn tunnel(mut client: &TcpStream, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while reader.read_line(&mut head).ok()? > 2 {}
    let target = head.split(' ').nth(1)?.to_owned();
    heads.lock().unwrap().push(head);
    let server = TcpStream::connect(target).ok()?;
    write!(client, "HTTP/1.1 200 OK\r\n\r\n").ok()?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut reader, &mut &server);
        });
        let _ = copy(&mut &server, &mut &*client);
        let _ = client.shutdown(Shutdown::Both);
    });
    Some(())
}

#[test]
fn a_proxy_with_a_password_is_used() {
    let (hub, _cache, mut options) = setup(tiny_model(), None);
    let (address, heads) = proxy();
    options.transfer.proxies.http = Some(format!("http://ada:p%40ss@{address}"));
    resolve(MODEL, &options, &mut ()).unwrap();
    let heads = heads.lock().unwrap();
    assert!(!heads.is_empty());
    // `ada:p@ss` in base 64.
    let is_authorized =
        |head: &String| head.contains("Proxy-Authorization: Basic YWRhOnBAc3M=\r\n");
    assert!(heads.iter().all(is_authorized), "{heads:?}");
    assert_eq!(heads.len(), hub.requests().len());
}

#[test]
fn no_proxy_goes_around_it() {
    for list in ["*", "localhost, 127.0.0.1"] {
        let (_hub, _cache, mut options) = setup(tiny_model(), None);
        let (address, heads) = proxy();
        options.transfer.proxies.all = Some(address);
        options.transfer.proxies.no_proxy = Some(list.to_owned());
        resolve(MODEL, &options, &mut ()).unwrap();
        assert!(heads.lock().unwrap().is_empty());
    }
}

#[test]
fn settings_that_allow_no_connection_are_named() {
    type Case = (fn(&mut HubOptions), &'static str, &'static str);
    let cases: [Case; 5] = [
        (
            |options| options.token = Some("hf_\u{e9}\n".to_owned()),
            "token",
            "`HF_TOKEN`",
        ),
        (
            |options| options.endpoint = "ftp://hub".to_owned(),
            "endpoint",
            "`HF_ENDPOINT`",
        ),
        (
            |options| options.endpoint = "hub".to_owned(),
            "endpoint",
            "`HF_ENDPOINT`",
        ),
        (
            |options| options.transfer.proxies.https = Some("a b".to_owned()),
            "`HTTPS_PROXY`",
            "`HTTPS_PROXY`",
        ),
        (
            |options| options.transfer.certificates = vec![PathBuf::from("/nowhere/ca.pem")],
            "`/nowhere/ca.pem`",
            "`SSL_CERT_FILE`",
        ),
    ];
    for (change, what, remedy) in cases {
        let (hub, _cache, mut options) = setup(tiny_model(), None);
        change(&mut options);
        let error = resolve(MODEL, &options, &mut ()).unwrap_err();
        let HubError::Client { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(source.to_string().contains(what), "{source}");
        assert!(error.hint().unwrap().contains(remedy), "{:?}", error.hint());
        assert!(hub.requests().is_empty());
    }
}
