//! Training again in a fresh process after a device failed: nothing that this one holds can be trusted.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use rekindle::Error;

use crate::args::Train;
use crate::progress::note;

/// Goes on from the last checkpoint in a fresh process, if that may help; else the error stays.
///
/// A lack of memory halves the rows of a forward pass, down to one. Any other failure is tried again once.
pub(crate) fn after(error: Error, arguments: &Train) -> Result<ExitCode> {
    let Error::Device {
        message,
        folder,
        forward_rows,
        is_out_of_memory,
    } = &error
    else {
        return Err(error.into());
    };
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg("train").arg(folder).arg("--resume");
    command.args(["--dashboard", arguments.dashboard.name()]);
    if *is_out_of_memory && *forward_rows > 1 {
        let rows = forward_rows.div_ceil(2);
        note(format_args!(
            "the device ran out of memory with {forward_rows} rows a forward pass: training goes on from the last checkpoint with {rows} ({message})"
        ));
        command.args(["--forward-rows".into(), OsString::from(rows.to_string())]);
        if arguments.is_restarted {
            command.arg("--restarted");
        }
    } else if arguments.is_restarted {
        return Err(error.into());
    } else {
        note(format_args!(
            "the device failed: training goes on from the last checkpoint in a fresh process ({message})"
        ));
        command.arg("--restarted");
        if let Some(rows) = arguments.forward_rows {
            command.args(["--forward-rows".into(), OsString::from(rows.to_string())]);
        }
    }
    replace_process(command)
}

/// Becomes the command, so that the device is free for it.
#[cfg(unix)]
fn replace_process(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("cannot start training again")
}

/// Waits for the command, and ends as it does.
#[cfg(not(unix))]
fn replace_process(mut command: Command) -> Result<ExitCode> {
    let status = command.status().context("cannot start training again")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(crate::failure::FAILED)))
}
