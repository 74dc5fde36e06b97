//! Training again in a fresh process after a device failed: nothing that this one holds can be trusted.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use rekindle::Error;
use rekindle::train::Control as _;

use crate::args::Train;
use crate::progress::note;
use crate::watch::Watch;

/// Goes on from the last checkpoint in a fresh process, if that may help; else the error stays.
///
/// A lack of memory halves the rows of a forward pass, down to one. Any other failure is tried again once.
pub(crate) fn after(error: Error, arguments: &Train, watch: &Watch) -> Result<ExitCode> {
    let Error::Device {
        message,
        folder,
        forward_rows,
        is_out_of_memory,
    } = &error
    else {
        return Err(error.into());
    };
    if watch.is_stopped() {
        return Err(error.into());
    }
    let is_halved = *is_out_of_memory && *forward_rows > 1;
    if !is_halved && arguments.is_restarted {
        return Err(error.into());
    }
    let rows = if is_halved {
        let rows = forward_rows.div_ceil(2);
        note(format_args!(
            "the device ran out of memory with {forward_rows} rows a forward pass: training goes on from the last checkpoint with {rows} ({message})"
        ));
        Some(rows)
    } else {
        note(format_args!(
            "the device failed: training goes on from the last checkpoint in a fresh process ({message})"
        ));
        arguments.forward_rows
    };
    let mut command = Command::new(program()?);
    command.arg("train").arg(folder).arg("--resume");
    let dashboard = arguments.dashboard.to_possible_value();
    let dashboard = dashboard.expect("no way to show progress is hidden");
    command.args(["--dashboard", dashboard.get_name()]);
    if let Some(rows) = rows {
        command.args(["--forward-rows", &rows.to_string()]);
    }
    if arguments.is_restarted || !is_halved {
        command.arg("--restarted");
    }
    note(format_args!(
        "cannot start training again: {}",
        replace_process(command)
    ));
    Err(error.into())
}

/// This program, even if its file was replaced in the meantime.
pub(crate) fn program() -> Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && link.exists() {
        return Ok(link.to_owned());
    }
    std::env::current_exe().context("cannot find this program")
}

/// Becomes the command, so that the device is free for it; comes back only with the reason why not.
#[cfg(unix)]
fn replace_process(mut command: Command) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    command.exec()
}

/// Waits for the command, and ends as it does; comes back only with the reason why not.
#[cfg(not(unix))]
fn replace_process(mut command: Command) -> io::Error {
    match command.status() {
        Ok(status) => {
            std::process::exit(status.code().unwrap_or(i32::from(crate::failure::FAILED)))
        }
        Err(error) => error,
    }
}
