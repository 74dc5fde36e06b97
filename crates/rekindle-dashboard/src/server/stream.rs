//! Server-sent events: the lines that are appended to a log, as they come.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as Name, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::watch::{Watch, contained};
use super::{POLL, unreadable};
use crate::record::EVENTS;
use crate::record::tail::{Change, Cursor, Tail};

/// How often a comment keeps an idle connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) async fn of_only(
    State(watch): State<Arc<Watch>>,
    query: Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let folder = watch.root().to_owned();
    open(watch, folder, cursor(&query, &headers))
}

pub(super) async fn of_name(
    State(watch): State<Arc<Watch>>,
    Name(name): Name<String>,
    query: Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    match watch.folder(&name) {
        Ok(Some(folder)) => open(watch, folder, cursor(&query, &headers)),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unreadable(&error),
    }
}

/// Where the client is in the log: after the last event that it saw, else where its page ends.
fn cursor(query: &HashMap<String, String>, headers: &HeaderMap) -> Cursor {
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok()?.parse().ok());
    let from = || query.get("from")?.parse().ok();
    seen.or_else(from).unwrap_or_default()
}

fn open(watch: Arc<Watch>, folder: PathBuf, cursor: Cursor) -> Response {
    if let Err(error) = contained(&folder) {
        return unreadable(&error);
    }
    let follower = Follower {
        tail: Tail::at(&folder.join(EVENTS), cursor),
        was_held: watch.is_held(&folder),
        ready: VecDeque::new(),
        watch,
        folder,
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// A client's view of a log.
struct Follower {
    watch: Arc<Watch>,
    folder: PathBuf,
    tail: Tail,
    was_held: bool,
    ready: VecDeque<Event>,
}

impl Follower {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            self.look();
            if self.ready.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    fn look(&mut self) {
        let is_held = self.watch.is_held(&self.folder);
        if is_held != self.was_held {
            self.was_held = is_held;
            self.ready
                .push_back(Event::default().event("change").data("state"));
        }
        // A log that cannot be read just now is looked at again.
        match self.tail.poll() {
            Ok(Change::Lines(lines)) => self.ready.extend(events(&lines, self.tail.cursor())),
            Ok(Change::Reset) => self
                .ready
                .push_back(Event::default().event("reset").data("log")),
            Ok(Change::None) | Err(_) => {}
        }
    }
}

/// An event for each line; the last one tells the place from where to go on.
fn events(lines: &[u8], cursor: Cursor) -> Vec<Event> {
    let lines = String::from_utf8_lossy(lines);
    let is_json = |line: &&str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    let known: Vec<&str> = lines.lines().filter(is_json).collect();
    let count = known.len();
    let event = |(index, line): (usize, &str)| {
        // Between the tokens of JSON a carriage return may stand, in an event it may not.
        let event = Event::default().data(line.replace('\r', " "));
        if index + 1 == count {
            event.id(cursor.to_string())
        } else {
            event
        }
    };
    known.into_iter().enumerate().map(event).collect()
}
