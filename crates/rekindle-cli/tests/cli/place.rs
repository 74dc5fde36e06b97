//! A folder to run the program in, with tiny models and data.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Folders of random models that fit `tokenizer.json`.
const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/rekindle-bert/tests/fixtures"
);

/// A word-piece tokenizer of 48 words.
const TOKENIZER: &str = include_str!("tokenizer.json");

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_rekindle");

/// An empty folder in which the program runs; it goes away at the end.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a call of the program left.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder }
    }

    /// A place with a headless model in `base`, and reviews with two labels in `train.jsonl`.
    pub(crate) fn with_reviews() -> Self {
        let place = Self::new();
        place.model("minilm-headless", "base");
        place.rows("train.jsonl", &reviews(20, &["bad", "good"]));
        place
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Writes rows as JSON lines.
    pub(crate) fn rows(&self, file: &str, rows: &[Value]) {
        let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
        self.write(file, &lines.join("\n"));
    }

    /// The objects of a JSON lines file.
    pub(crate) fn objects(&self, file: &str) -> Vec<Value> {
        objects(&self.read(file))
    }

    /// Copies the model of a fixture.
    pub(crate) fn model(&self, fixture: &str, folder: &str) {
        fs::create_dir(self.path(folder)).unwrap();
        let from = Path::new(FIXTURES).join(fixture);
        for file in ["config.json", "model.safetensors"] {
            fs::copy(from.join(file), self.path(folder).join(file)).unwrap();
        }
        self.write(&format!("{folder}/tokenizer.json"), TOKENIZER);
    }

    /// Changes fields of a model's `config.json`; null removes one.
    pub(crate) fn configure(&self, folder: &str, fields: &[(&str, Value)]) {
        let file = format!("{folder}/config.json");
        let mut config: Value = serde_json::from_str(&self.read(&file)).unwrap();
        let object = config.as_object_mut().unwrap();
        for (field, value) in fields {
            if value.is_null() {
                object.shift_remove(*field);
            } else {
                object.insert((*field).to_owned(), value.clone());
            }
        }
        self.write(&file, &config.to_string());
    }

    /// The program in this folder, without a network and without a cache.
    pub(crate) fn program(&self) -> Command {
        Command::from_std(self.process())
    }

    /// The same as a process of the standard library.
    fn process(&self) -> std::process::Command {
        let mut command = std::process::Command::new(PROGRAM);
        command
            .current_dir(self.folder.path())
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.path("hf"))
            .env("REKINDLE_CACHE", self.path("cache"))
            .env_remove("HF_HUB_CACHE")
            // The tests are run by cargo, and the program is not.
            .env_remove("CARGO");
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Called {
        self.call_with(arguments, "")
    }

    /// Runs the program with a text on its standard input.
    pub(crate) fn call_with(&self, arguments: &[&str], input: &str) -> Called {
        let mut command = self.program();
        let output = command.args(arguments).write_stdin(input).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Called {
            code: output.status.code().expect("no signal ends the program"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Trains into the folder `run`, on the processor; it must end well.
    pub(crate) fn train(&self, arguments: &[&str]) -> Called {
        self.train_into("run", arguments)
    }

    pub(crate) fn train_into(&self, run: &str, arguments: &[&str]) -> Called {
        let always = ["train", "--backend", "flex", "--output", run];
        self.call(&[&always, arguments].concat()).expect_code(0)
    }

    /// The loss of each step of a run.
    pub(crate) fn losses(&self, run: &str) -> Vec<f64> {
        let events = self.objects(&format!("{run}/events.jsonl"));
        let steps = events.iter().filter(|event| event["event"] == "step");
        steps.map(|step| step["loss"].as_f64().unwrap()).collect()
    }

    /// The only event of a kind.
    pub(crate) fn event(&self, run: &str, kind: &str) -> Value {
        let events = self.objects(&format!("{run}/events.jsonl"));
        let mut found = events.into_iter().filter(|event| event["event"] == kind);
        let event = found.next().unwrap_or_else(|| panic!("no event `{kind}`"));
        assert_eq!(found.next(), None, "one event `{kind}`");
        event
    }

    /// Runs a command that must be refused with nothing written, and returns what it says.
    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        let called = self.call(arguments).expect_code(2);
        assert_eq!(called.out, "", "nothing on standard output");
        assert!(!self.has("run"), "nothing written");
        let start = called.err.find("error: ").expect("an error is told");
        let folder = self.folder.path().display().to_string();
        called.err[start..].replace(&folder, "[folder]")
    }

    /// [`Self::refusal`] of a training run into the folder `run`, on the processor.
    pub(crate) fn refused_training(&self, arguments: &[&str]) -> String {
        let always = ["train", "--backend", "flex", "--output", "run"];
        self.refusal(&[&always, arguments].concat())
    }
}

impl Called {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn objects(&self) -> Vec<Value> {
        objects(&self.out)
    }
}

fn objects(lines: &str) -> Vec<Value> {
    let object = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is no object: {error}"))
    };
    lines.lines().map(object).collect()
}

/// Starts the program with pipes to it.
pub(crate) fn spawn(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.process();
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Presses Ctrl-C.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.args(["-INT", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

pub(crate) fn text(mut pipe: impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// Names of an object's fields, in their order.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    let keys = object.as_object().unwrap().keys();
    keys.map(String::as_str).collect()
}

/// Reviews with as many labels as are given, each told by a word of its own.
pub(crate) fn reviews(count: usize, labels: &[&str]) -> Vec<Value> {
    let tells = ["awful", "good", "so"];
    let things = ["film", "book", "phone", "sound", "story"];
    let review = |index: usize| {
        let class = index % labels.len();
        let thing = things[index % things.len()];
        let more = " very".repeat(index % 4);
        json!({"text": format!("the {thing} was{more} {}", tells[class]), "label": labels[class]})
    };
    (0..count).map(review).collect()
}
