//! Sinks for the events of a training run: a screen for those who watch, lines for people and for programs,
//! a table for a spreadsheet, a page with curves; and what reads them back: a list of runs, a comparison, a
//! live page.
//!
//! A sink writes to what the caller gives it (the screen, to standard error) and never fails a run: its
//! first error is kept, and told at the end.

mod backlog;
pub mod compare;
mod event_log;
mod format;
mod metrics_csv;
mod page;
mod plain;
mod record;
pub mod report;
pub mod runs;
pub mod server;
mod sink;
mod terminal;

pub use event_log::EventLog;
pub use metrics_csv::MetricsCsv;
pub use plain::PlainLines;
pub use record::{Best, ReadError, RunRecord, State};
pub use report::Report;
pub use sink::{Sink, Tee};
pub use terminal::Terminal;
