//! A headless Chromium, steered over its debugging protocol.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// Longer than anything here takes, on a busy machine too.
const DEADLINE: Duration = Duration::from_mins(1);

/// Between two questions whether something has come true.
const PAUSE: Duration = Duration::from_millis(20);

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one page, closed when it is dropped.
pub(crate) struct Browser {
    process: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    calls: u64,
    /// What the console told as an error.
    pub(crate) errors: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser that is installed; none where none is.
    pub(crate) fn start() -> Option<Self> {
        let profile = TempDir::new().unwrap();
        let mut process = PROGRAMS.iter().find_map(|program| {
            Command::new(program)
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--no-first-run",
                ])
                .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg("about:blank")
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .ok()
        })?;
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut addresses = lines.map_while(Result::ok).filter_map(|line| {
            let (_, address) = line.split_once("DevTools listening on ")?;
            Some(address.to_owned())
        });
        let address = addresses.next().expect("the browser tells its address");
        let (socket, _) = tungstenite::connect(address).unwrap();
        let mut browser = Self {
            process,
            socket,
            session: None,
            calls: 0,
            errors: Vec::new(),
            _profile: profile,
        };
        // What the browser logs must be read, or it would wait for a reader one day.
        std::thread::spawn(move || addresses.for_each(drop));
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_ref() {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
        }
        let page = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", target);
        self.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Calls a method and takes its answer, an error too.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let request = Message::text(request.to_string());
        self.socket.send(request).unwrap();
        loop {
            let message = self.socket.read().unwrap();
            let Ok(text) = message.to_text() else {
                continue;
            };
            let answer: Value = serde_json::from_str(text).unwrap();
            if answer["id"] == self.calls {
                return answer;
            }
            self.listen(&answer);
        }
    }

    fn listen(&mut self, event: &Value) {
        let params = &event["params"];
        let is_error = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => params["type"] == "error",
            Some("Log.entryAdded") => params["entry"]["level"] == "error",
            _ => false,
        };
        if is_error {
            self.errors.push(params.to_string());
        }
    }

    /// Opens a page at the size of a screen, in light or dark.
    pub(crate) fn open(&mut self, url: &str, width: u32, scheme: &str) {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media);
        self.call("Page.navigate", json!({"url": url}));
        self.wait("document.readyState === 'complete'");
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        self.ask("Runtime.evaluate", params)
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let answer = self.evaluate(expression);
        let result = &answer["result"];
        let is_value = answer["error"].is_null() && result["exceptionDetails"].is_null();
        assert!(is_value, "{expression}: {answer}");
        result["result"]["value"].clone()
    }

    /// Asks until an expression is true; while a page is loaded, asking may fail.
    pub(crate) fn wait(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.evaluate(expression)["result"]["result"]["value"] != true {
            assert!(begin.elapsed() < DEADLINE, "never true: {expression}");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A process that is gone already cannot be ended again.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
