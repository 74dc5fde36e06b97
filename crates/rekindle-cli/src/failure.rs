//! How a failure is told: what, why, and what to do about it.

use std::io;
use std::process::ExitCode;

use rekindle::Error;

use crate::progress::note;

/// Exit code of a failure of the work.
pub(crate) const FAILED: u8 = 1;
/// Exit code of wrong usage or input.
const USAGE: u8 = 2;
/// Exit code of a run that the user stopped.
pub(crate) const INTERRUPTED: u8 = 130;

/// Prints an error, its causes and its hint, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    // Some messages quote their cause already.
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        let cause = cause.trim_end();
        if !text.contains(cause) {
            text = format!("{text}: {cause}");
        }
    }
    note(format_args!("error: {text}"));
    let known = error.downcast_ref::<Error>();
    if let Some(hint) = known.and_then(Error::hint) {
        note(format_args!("hint: {hint}"));
    }
    let is_usage = known.is_none_or(Error::is_usage);
    ExitCode::from(if is_usage { USAGE } else { FAILED })
}

/// Whether the reader of our output went away: not an error of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
