//! The server, asked over plain sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::run_folder::{HOSTILE, append, short_run, step};
use crate::support::running_server::RunningServer;
use rekindle_dashboard::server::{Server, Target};
use tempfile::TempDir;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn connect(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    BufReader::new(socket)
}

/// The whole answer to a request for a path.
fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    connect(address, &request)
        .read_to_string(&mut answer)
        .unwrap();
    answer
}

fn status(address: SocketAddr, request: &str) -> String {
    let mut line = String::new();
    connect(address, request).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Opens a stream of events from the cursor of a page, or from the beginning.
fn stream(address: SocketAddr, path: &str, headers: &str) -> BufReader<TcpStream> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    connect(address, &request)
}

/// The next line of a stream that begins with `start`, without it.
fn next(stream: &mut BufReader<TcpStream>, start: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "the stream has ended"
        );
        if let Some(rest) = line.trim_end().strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

fn cursor(page: &str) -> String {
    let (_, rest) = page.split_once("\"cursor\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn one_run() -> (TempDir, RunningServer) {
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run("reviews", &HOSTILE));
    let server = RunningServer::start(Target::Run(folder.path().to_owned()), |_| true);
    (folder, server)
}

#[test]
fn the_page_comes_with_headers_that_lock_it_in() {
    let (_folder, server) = one_run();
    assert!(server.address.ip().is_loopback());
    let answer = get(server.address, "/").to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for header in [
        "content-security-policy: default-src 'none';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "x-frame-options: deny",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(answer.contains(header), "{header}");
    }
    assert!(answer.contains("reviews") && answer.contains("running"));
    assert_eq!(answer.matches("<script").count(), 2);
}

#[test]
fn nobody_else_s_name_and_no_other_method() {
    let (_folder, server) = one_run();
    let port = server.address.port();
    let with = |method: &str, host: &str| {
        format!("{method} / HTTP/1.1\r\n{host}Connection: close\r\n\r\n")
    };
    let ours = format!("Host: localhost:{port}\r\n");
    assert_eq!(status(server.address, &with("GET", &ours)), "200");
    for host in [
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: localhost.evil.example:{port}\r\n"),
        "Host: localhost\r\n".to_owned(),
        "Host: \r\n".to_owned(),
        String::new(),
    ] {
        let status = status(server.address, &with("GET", &host));
        assert!(
            ["400", "403"].contains(&status.as_str()),
            "{host}: {status}"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(
            status(server.address, &with(method, &ours)),
            "405",
            "{method}"
        );
    }
}

#[test]
fn no_path_leads_out_of_the_folder_of_runs() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    append(&runs.join("inside run"), &short_run("inside", &["a"]));
    append(
        &folder.path().join("outside"),
        &short_run("outside", &["a"]),
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(folder.path().join("outside"), runs.join("link")).unwrap();
        fs::create_dir(runs.join("linked log")).unwrap();
        let log = folder.path().join("outside/events.jsonl");
        symlink(log, runs.join("linked log/events.jsonl")).unwrap();
    }
    let server = RunningServer::start(Target::Runs(runs.clone()), |_| false);
    let index = get(server.address, "/");
    assert!(index.contains("href=\"/runs/inside%20run\""), "{index}");
    assert!(!index.contains("outside"), "{index}");
    let page = get(server.address, "/runs/inside%20run");
    assert!(page.contains("All runs") && page.contains("crashed"));
    for path in [
        "/runs/../outside",
        "/runs/..%2foutside",
        "/runs/..%2Foutside",
        "/runs/%2e%2e%2foutside",
        "/runs/..%5coutside",
        "/runs/..",
        "/runs/.",
        "/runs/%2e",
        "/runs/link",
        "/runs/inside%20run/../../outside",
        "/runs/inside%20run/events.jsonl",
        "/runs/inside%20run%2f..%2f..%2foutside",
        "/runs/inside%20run%00",
        "/outside",
        "//etc/passwd",
        "/runs//etc/passwd",
        "/runs/link/events",
        "/runs/..%2foutside/events",
    ] {
        let answer = get(server.address, path);
        let is_refused = answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400");
        assert!(is_refused, "{path}: {answer}");
    }
    if cfg!(unix) {
        for path in ["/runs/linked%20log", "/runs/linked%20log/events"] {
            assert!(
                get(server.address, path).starts_with("HTTP/1.1 500"),
                "{path}"
            );
        }
    }
}

#[test]
fn appended_lines_arrive_and_a_reconnect_misses_none() {
    let (folder, server) = one_run();
    let page = get(server.address, "/");
    let path = format!("/events?from={}", cursor(&page));
    let mut first = stream(server.address, &path, "");
    next(&mut first, "content-type: text/event-stream");
    append(folder.path(), &[step(5)]);
    let data = next(&mut first, "data: ");
    assert!(data.contains("\"step\":5"), "{data}");
    let id = next(&mut first, "id: ");
    drop(first);
    append(folder.path(), &[step(6), step(7)]);
    let seen = format!("Last-Event-ID: {id}\r\n");
    let mut second = stream(server.address, &path, &seen);
    for number in [6, 7] {
        let data = next(&mut second, "data: ");
        assert!(data.contains(&format!("\"step\":{number}")), "{data}");
    }
    assert!(
        get(server.address, "/").contains("[7,3.5,"),
        "the page has what the stream told"
    );
}

#[test]
fn a_cut_log_resets_the_stream() {
    let (folder, server) = one_run();
    let from = cursor(&get(server.address, "/"));
    let mut events = stream(server.address, &format!("/events?from={from}"), "");
    next(&mut events, "content-type: text/event-stream");
    fs::write(folder.path().join("events.jsonl"), format!("{}\n", step(1))).unwrap();
    assert_eq!(next(&mut events, "event: "), "reset");
    assert!(next(&mut events, "data: {").contains("\"step\":1"));
    let page = get(server.address, "/");
    assert!(!page.contains("[4,2.0,"), "the page forgot what was cut");
    // A client of the time before the cut is told when it comes back.
    let mut late = stream(server.address, &format!("/events?from={from}"), "");
    assert_eq!(next(&mut late, "event: "), "reset");
}

#[test]
fn the_end_of_the_process_is_told() {
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run("run", &["a"]));
    let is_alive = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&is_alive);
    let target = Target::Run(folder.path().to_owned());
    let server = RunningServer::start(target, move |_: &Path| held.load(Ordering::Relaxed));
    let page = get(server.address, "/");
    assert!(page.contains("running"));
    let mut events = stream(
        server.address,
        &format!("/events?from={}", cursor(&page)),
        "",
    );
    next(&mut events, "content-type: text/event-stream");
    is_alive.store(false, Ordering::Relaxed);
    assert_eq!(next(&mut events, "event: "), "change");
    assert!(get(server.address, "/").contains("crashed"));
}

#[test]
fn a_taken_port_and_a_missing_run_are_told() {
    let (folder, server) = one_run();
    let target = Target::Run(folder.path().to_owned());
    let error = Server::bind(target, server.address.port(), |_| true).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot listen on port"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("another port"));
    let nothing = Target::Run(folder.path().join("nothing"));
    let error = Server::bind(nothing, 0, |_| true).unwrap_err();
    assert!(error.to_string().starts_with("no run in"), "{error}");
}
