//! What is told on standard error while a command works.

use std::fmt::Display;
use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};
use rekindle::hub::Progress;

/// Writes a line to standard error.
pub(crate) fn note(line: impl Display) {
    // `eprintln!` panics where nobody reads; a run goes on.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Draws a bar per file on standard error; draws nothing where that is not a terminal.
#[derive(Debug, Default)]
pub(crate) struct DownloadBar(Option<ProgressBar>);

impl Progress for DownloadBar {
    fn start(&mut self, file: &str, bytes: u64) {
        let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(style).expect("the template is valid");
        let bar = ProgressBar::new(bytes)
            .with_style(style)
            .with_message(file.to_owned());
        self.0 = Some(bar);
    }

    fn resume(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
            bar.reset_eta();
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}
