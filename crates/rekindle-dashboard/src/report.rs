//! `report.html`: everything there is to see of a run, in one file.

pub(crate) mod charts;
mod classes;
pub(crate) mod sections;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rekindle_train::events::{Event, Events};

use crate::page::Page;
use crate::record::RunRecord;
use crate::sink::Sink;

/// The page of a run.
pub fn render(record: &RunRecord) -> String {
    page(record).render()
}

/// The page of a run whose log a server follows from `cursor` on.
pub(crate) fn live(record: &RunRecord, cursor: String, home: Option<&str>) -> String {
    let mut page = page(record);
    page.cursor = Some(cursor);
    if let Some(home) = home {
        page.body = maud::html! { nav { a href=(home) { "All runs" } } (page.body) };
    }
    page.render()
}

fn page(record: &RunRecord) -> Page {
    let charts = charts::of(record);
    Page {
        title: format!("{} · Rekindle", record.name()),
        body: sections::body(record, &charts),
        charts,
        cursor: None,
    }
}

/// Writes the page of a run anew at each evaluation and at the end.
///
/// Nobody sees half a page: it is written aside and renamed. A failure to write is forgotten when a later
/// page could be written.
#[derive(Debug)]
pub struct Report {
    record: RunRecord,
    path: PathBuf,
    failure: Option<io::Error>,
}

impl Report {
    /// Goes on with what is known of the run, and writes to `path`.
    pub fn new(record: RunRecord, path: impl Into<PathBuf>) -> Self {
        Self {
            record: RunRecord {
                is_held: true,
                ..record
            },
            path: path.into(),
            failure: None,
        }
    }
}

impl Events for Report {
    fn emit(&mut self, event: Event) {
        self.record.push(&event);
        if matches!(
            event,
            Event::Evaluation(_) | Event::Epoch(_) | Event::Failure { .. } | Event::Finish(_)
        ) {
            self.failure = replace(&self.path, &render(&self.record)).err();
        }
    }
}

impl Sink for Report {
    fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }
}

/// Writes a file aside and gives it its name.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension("html.partial");
    fs::write(&aside, text)?;
    fs::rename(&aside, path)
}
