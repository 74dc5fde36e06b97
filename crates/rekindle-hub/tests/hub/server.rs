//! A small imitation of the Hub, as far as a download asks it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

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

/// A running imitation of the Hub.
pub(crate) struct FakeHub {
    pub(crate) endpoint: String,
    state: Arc<State>,
}

struct State {
    endpoint: String,
    files: Files,
    fault: Mutex<Option<Fault>>,
    requests: Mutex<Vec<Request>>,
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

impl FakeHub {
    pub(crate) fn start(files: Files, fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            endpoint: endpoint.clone(),
            files,
            fault: Mutex::new(fault),
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

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes after which the connection breaks.
    cut: Option<usize>,
}

impl Response {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: &[u8]) -> Self {
        Self {
            status,
            headers,
            body: body.to_vec(),
            cut: None,
        }
    }

    fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            vec![("X-Error-Code", code.to_owned())],
            br#"{"error": "refused"}"#,
        )
    }

    fn redirect(location: String) -> Self {
        Self::new(307, vec![("Location", location)], b"")
    }
}

impl State {
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let Some(request) = read_request(stream)? else {
            return Ok(());
        };
        self.requests.lock().unwrap().push(request.clone());
        let response = self.route(&request);
        write!(
            stream,
            "HTTP/1.1 {} Imitated\r\nConnection: close\r\n",
            response.status
        )?;
        for (name, value) in &response.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "Content-Length: {}\r\n\r\n", response.body.len())?;
        if request.method == "GET" {
            stream.write_all(&response.body[..response.cut.unwrap_or(response.body.len())])?;
        }
        Ok(())
    }

    fn route(&self, request: &Request) -> Response {
        if let Some(Fault::Refuse(status, code)) = *self.fault.lock().unwrap() {
            return Response::error(status, code);
        }
        if request.path.contains("/old/name/") {
            return Response::redirect(request.path.replace("/old/name/", "/org/tiny/"));
        }
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
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
            format!(
                r#"{{"type": "file", "oid": "0", "size": {}, "path": "{path}"}}"#,
                bytes.len()
            )
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
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
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
    };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(Some(request))
}
