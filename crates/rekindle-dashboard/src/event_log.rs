//! Events as JSON lines.

use std::io::{self, Write};

use jiff::Timestamp;
use rekindle_train::events::{Event, Events};
use serde::Serialize;

use crate::backlog::Backlog;
use crate::sink::Sink;

/// Writes one object per event: its time, its name, its fields.
#[derive(Debug)]
pub struct EventLog<W> {
    out: Backlog<W>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write> EventLog<W> {
    /// Writes to `writer`, which is flushed after each line; lines that it does not take wait for the next.
    pub fn new(writer: W) -> Self {
        Self {
            out: Backlog::new(writer),
        }
    }
}

impl<W: Write> Events for EventLog<W> {
    fn emit(&mut self, event: Event) {
        let line = Line {
            time: Timestamp::now(),
            event: &event,
        };
        let mut line = serde_json::to_vec(&line).expect("an event has a text");
        line.push(b'\n');
        // What it cannot write it keeps, and tells by `failure`.
        let _ = self.out.write_all(&line);
    }
}

impl<W: Write> Sink for EventLog<W> {
    fn failure(&self) -> Option<&io::Error> {
        self.out.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_name_and_fields() {
        let mut out = Vec::new();
        EventLog::new(&mut out).emit(Event::Warning {
            message: "rows\n\"skipped\"".into(),
        });
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["event"], "warning");
        assert_eq!(line["message"], "rows\n\"skipped\"");
        assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
    }
}
