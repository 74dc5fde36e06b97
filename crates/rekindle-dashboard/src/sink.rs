//! What all sinks have in common.

use std::io;

use rekindle_train::events::{Event, Events};

/// Takes events and remembers whether it could write them.
pub trait Sink: Events {
    /// Why something could not be written, and may still be missing.
    fn failure(&self) -> Option<&io::Error>;
}

/// Several sinks, each of which sees every event.
#[derive(Default)]
pub struct Tee<'a> {
    sinks: Vec<(String, Box<dyn Sink + 'a>)>,
}

impl<'a> Tee<'a> {
    /// Adds a sink under the name that its failure is told by.
    pub fn push(&mut self, name: impl Into<String>, sink: impl Sink + 'a) {
        self.sinks.push((name.into(), Box::new(sink)));
    }

    /// Names and errors of the sinks that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &io::Error)> {
        self.sinks
            .iter()
            .filter_map(|(name, sink)| Some((name.as_str(), sink.failure()?)))
    }
}

impl Events for Tee<'_> {
    fn emit(&mut self, event: Event) {
        for (_, sink) in &mut self.sinks {
            sink.emit(event.clone());
        }
    }

    fn replay(&mut self, history: &[Event]) {
        for (_, sink) in &mut self.sinks {
            sink.replay(history);
        }
    }
}

/// The first error of a writer; nothing is written after it.
#[derive(Debug, Default)]
pub(crate) struct FirstError(Option<io::Error>);

impl FirstError {
    pub(crate) fn guard(&mut self, write: impl FnOnce() -> io::Result<()>) {
        if self.0.is_none() {
            self.0 = write().err();
        }
    }

    pub(crate) fn get(&self) -> Option<&io::Error> {
        self.0.as_ref()
    }
}
