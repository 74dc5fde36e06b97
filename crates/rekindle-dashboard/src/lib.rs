//! Sinks for the events of a training run: lines for people, lines for programs, a table for
//! a spreadsheet, a screen for those who watch.
//!
//! A sink writes to what the caller gives it (the screen, to standard error) and never fails a run: its
//! first error is kept, and told at the end.

mod event_log;
mod metrics_csv;
mod plain;
mod sink;
mod terminal;

pub use event_log::EventLog;
pub use metrics_csv::MetricsCsv;
pub use plain::PlainLines;
pub use sink::{Sink, Tee};
pub use terminal::Terminal;
