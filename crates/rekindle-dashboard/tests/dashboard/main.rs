//! Views of a run: files, pages, the server, a terminal.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod browser;
mod page;
mod runs;
mod server;
mod sinks;
mod support;
#[cfg(unix)]
mod terminal;
