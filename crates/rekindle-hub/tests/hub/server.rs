//! A small imitation of the Hub, as far as a download asks it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::Files;

/// The commit that `main` and `v1` stand for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The one model that the imitated Hub has.
pub(crate) const MODEL: &str = "org/tiny";

/// How the Hub misbehaves.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// The connection breaks in the middle of this file, the given number of times.
    Cut(&'static str, usize),
    /// This file is announced, then an error page is sent in its place.
    ErrorPage(&'static str),
    /// Whatever is asked: this status and error code.
    Refuse(u16, &'static str),
    /// This file is announced, then refused with this status and error code.
    RefuseFile(&'static str, u16, &'static str),
}

/// Changes an answer of the Hub before it is sent.
type Hook = Box<dyn Fn(&Request, Response) -> Response + Send + Sync>;

/// A running imitation of the Hub.
pub(crate) struct FakeHub {
    pub(crate) endpoint: String,
    state: Arc<State>,
}

struct State {
    endpoint: String,
    files: Files,
    fault: Mutex<Option<Fault>>,
    hook: Mutex<Option<Hook>>,
    requests: Mutex<Vec<Request>>,
    sent: AtomicUsize,
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// Start and end of the bytes that are asked for, the end exclusive.
    pub(crate) range: Option<(usize, usize)>,
    /// All headers, as they were sent.
    pub(crate) headers: Vec<String>,
}

impl Request {
    /// True for the content of a file, wherever it is asked for.
    pub(crate) fn is_content(&self, file: &str) -> bool {
        self.method == "GET" && self.path.ends_with(&format!("/{file}"))
    }

    /// True for the answer of the Hub itself about a file.
    pub(crate) fn is_resolve(&self, file: &str) -> bool {
        self.path.ends_with(&format!("/resolve/{COMMIT}/{file}"))
    }
}

impl FakeHub {
    pub(crate) fn start(files: Files, fault: Option<Fault>) -> Self {
        Self::run(files, fault, None)
    }

    /// Starts a Hub each answer of which the hook may change.
    pub(crate) fn hooked(
        files: Files,
        hook: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::run(files, None, Some(Box::new(hook)))
    }

    fn run(files: Files, fault: Option<Fault>, hook: Option<Hook>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            endpoint: endpoint.clone(),
            files,
            fault: Mutex::new(fault),
            hook: Mutex::new(hook),
            sent: AtomicUsize::new(0),
            requests: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                // A client that hangs up early is one of the things under test.
                thread::spawn(move || state.answer(&stream.unwrap()).ok());
            }
        });
        Self { endpoint, state }
    }

    pub(crate) fn repair(&self) {
        *self.state.fault.lock().unwrap() = None;
        *self.state.hook.lock().unwrap() = None;
    }

    /// The bytes of all bodies that were sent.
    pub(crate) fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The files whose content was asked for, each as often as it was.
    pub(crate) fn fetched(&self) -> Vec<String> {
        let is_content =
            |request: &Request| request.method == "GET" && request.path.contains("/resolve/");
        let requests = self.requests().into_iter().filter(is_content);
        requests
            .filter_map(|request| request.path.rsplit('/').next().map(str::to_owned))
            .collect()
    }
}

/// How the body of an answer is sent.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Delivery {
    /// All of it, or as much as `cut` allows.
    Whole,
    /// Nothing is sent, not even the head, for as long.
    Silent(Duration),
    /// One byte at a time, with a pause after each.
    Drip(Duration),
    /// The body again and again, up to so many bytes.
    Endless(usize),
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes after which the connection breaks.
    pub(crate) cut: Option<usize>,
    /// The announced length: None is that of the body, 0 none at all.
    pub(crate) length: Option<usize>,
    pub(crate) delivery: Delivery,
}

impl Response {
    pub(crate) fn new(status: u16, headers: Vec<(&'static str, String)>, body: &[u8]) -> Self {
        Self {
            status,
            headers,
            body: body.to_vec(),
            cut: None,
            length: None,
            delivery: Delivery::Whole,
        }
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            vec![("X-Error-Code", code.to_owned())],
            br#"{"error": "refused"}"#,
        )
    }

    pub(crate) fn redirect(location: String) -> Self {
        Self::new(307, vec![("Location", location)], b"")
    }

    /// Replaces a header, or adds it.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    fn send(
        &self,
        mut stream: &TcpStream,
        is_head: bool,
        sent: &AtomicUsize,
    ) -> std::io::Result<()> {
        if let Delivery::Silent(pause) = self.delivery {
            thread::sleep(pause);
            return Ok(());
        }
        let mut head = format!("HTTP/1.1 {} Imitated\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.length != Some(0) {
            let length = self.length.unwrap_or(self.body.len());
            write!(head, "Content-Length: {length}\r\n").unwrap();
        }
        write!(stream, "{head}\r\n")?;
        if is_head {
            return Ok(());
        }
        let mut write = |bytes: &[u8]| {
            sent.fetch_add(bytes.len(), Ordering::SeqCst);
            stream.write_all(bytes)
        };
        match self.delivery {
            Delivery::Drip(pause) => {
                for byte in &self.body {
                    write(&[*byte])?;
                    thread::sleep(pause);
                }
            }
            Delivery::Endless(bytes) => {
                for _ in 0..bytes / self.body.len() {
                    write(&self.body)?;
                }
            }
            _ => write(&self.body[..self.cut.unwrap_or(self.body.len())])?,
        }
        Ok(())
    }
}

/// The hash that git gives a file.
pub(crate) fn git_hash(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}

/// The hash that the Hub announces for a file: of weights, that of Git LFS.
pub(crate) fn hash(file: &str, bytes: &[u8]) -> String {
    if file.ends_with(".safetensors") {
        hex(&Sha256::digest(bytes))
    } else {
        git_hash(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl State {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let Some(request) = read_request(stream)? else {
            return Ok(());
        };
        self.requests.lock().unwrap().push(request.clone());
        let mut response = self.route(&request);
        if let Some(hook) = &*self.hook.lock().unwrap() {
            response = hook(&request, response);
        }
        response.send(stream, request.method == "HEAD", &self.sent)
    }

    fn route(&self, request: &Request) -> Response {
        if let Some(Fault::Refuse(status, code)) = *self.fault.lock().unwrap() {
            return Response::error(status, code);
        }
        if request.path.contains("/old/name/") {
            return Response::redirect(request.path.replace("/old/name/", "/org/tiny/"));
        }
        let path = request.path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api", "models", org, name, ..] if format!("{org}/{name}") != MODEL => {
                Response::error(404, "RepoNotFound")
            }
            ["api", "models", _, _, "revision", "main" | "v1" | COMMIT] => {
                let info = format!(r#"{{"id": "{MODEL}", "sha": "{COMMIT}"}}"#);
                Response::new(
                    200,
                    vec![("Content-Type", "application/json".to_owned())],
                    info.as_bytes(),
                )
            }
            ["api", "models", _, _, "revision", _] => Response::error(404, "RevisionNotFound"),
            ["api", "models", _, _, "tree", COMMIT] => {
                Response::new(200, Vec::new(), self.tree().as_bytes())
            }
            [_, _, "resolve", COMMIT, file] => self.resolve(request, file),
            ["cdn", file] => self.content(request, file, Vec::new()),
            _ => Response::error(404, "EntryNotFound"),
        }
    }

    fn tree(&self) -> String {
        let entries = self.files.iter().map(|(path, bytes)| {
            let (size, oid) = (bytes.len(), git_hash(bytes));
            let lfs = if path.ends_with(".safetensors") {
                let oid = hash(path, bytes);
                format!(r#", "lfs": {{"oid": "{oid}", "size": {size}, "pointerSize": 134}}"#)
            } else {
                String::new()
            };
            format!(r#"{{"type": "file", "oid": "{oid}", "size": {size}, "path": "{path}"{lfs}}}"#)
        });
        let folder = r#"{"type": "directory", "oid": "0", "path": "onnx"}"#.to_owned();
        format!(
            "[{}]",
            entries.chain([folder]).collect::<Vec<_>>().join(", ")
        )
    }

    /// Small files are served here; weights are described here and served by another address.
    fn resolve(&self, request: &Request, file: &str) -> Response {
        let Some(bytes) = self.files.get(file) else {
            return Response::error(404, "EntryNotFound");
        };
        if let Some(Fault::RefuseFile(refused, status, code)) = *self.fault.lock().unwrap()
            && refused == file
        {
            return Response::error(status, code);
        }
        let etag = format!("\"{}\"", hash(file, bytes));
        let commit = ("X-Repo-Commit", COMMIT.to_owned());
        if !file.ends_with(".safetensors") {
            return self.content(request, file, vec![commit, ("ETag", etag)]);
        }
        let headers = vec![
            commit,
            ("X-Linked-Size", bytes.len().to_string()),
            ("X-Linked-ETag", etag),
            ("Location", format!("{}/cdn/{file}", self.endpoint)),
        ];
        Response::new(302, headers, b"")
    }

    fn content(
        &self,
        request: &Request,
        file: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Response {
        let mut response = Response::new(200, headers, &self.files[file]);
        let size = response.body.len();
        if let Some((start, end)) = request.range {
            if start >= size {
                return Response::new(416, vec![("Content-Range", format!("bytes */{size}"))], b"");
            }
            let end = end.min(size);
            response.status = 206;
            response.body = response.body[start..end].to_vec();
            response = response.with("Content-Range", format!("bytes {start}-{}/{size}", end - 1));
        }
        if request.method == "HEAD" {
            return response;
        }
        match &mut *self.fault.lock().unwrap() {
            Some(Fault::Cut(cut, times)) if *cut == file && *times > 0 => {
                *times -= 1;
                response.cut = Some(response.body.len() / 2);
            }
            Some(Fault::ErrorPage(replaced)) if *replaced == file => {
                return Response::new(403, Vec::new(), b"<html>expired</html>");
            }
            _ => {}
        }
        response
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        authorization: None,
        range: None,
        headers: Vec::new(),
    };
    for line in lines {
        let line = line?;
        request.headers.push(line.to_ascii_lowercase());
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                let bounds = value
                    .strip_prefix("bytes=")
                    .and_then(|text| text.split_once('-'));
                let (first, last) = bounds.unwrap();
                request.range = Some((first.parse().unwrap(), last.parse::<usize>().unwrap() + 1));
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(Some(request))
}
