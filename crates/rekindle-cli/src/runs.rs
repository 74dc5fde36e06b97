//! `rekindle runs`, and `rekindle dashboard`: what runs have recorded, also those that go on now.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use rekindle::Error;
use rekindle::checkpoint::RunLock;
use rekindle::dashboard::server::{Server, Target};
use rekindle::dashboard::{PlainLines, RunRecord, compare, runs};
use rekindle::events::{Event, Events};

use crate::args::{Runs, RunsCommand, Serve};
use crate::progress::note;

/// Lists, tells or compares runs.
pub(crate) fn run(arguments: &Runs) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match &arguments.command {
        None => {
            let found = runs::list(&arguments.folder, RunLock::is_held).map_err(Error::from)?;
            if found.is_empty() {
                note(format_args!("no runs in `{}`", arguments.folder.display()));
                return Ok(ExitCode::SUCCESS);
            }
            write!(out, "{}", runs::table(&found))?;
        }
        Some(RunsCommand::Show { run }) => show(run, &mut out)?,
        Some(RunsCommand::Compare { runs, output }) => {
            let records = runs
                .iter()
                .map(|run| RunRecord::read(run, RunLock::is_held(run)));
            let records: Vec<_> = records.collect::<Result<_, _>>().map_err(Error::from)?;
            write!(out, "{}", compare::table(&records))?;
            fs::write(output, compare::render(&records))
                .with_context(|| format!("cannot write `{}`", output.display()))?;
            writeln!(out, "curves: {}", output.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the events of a run but for its steps.
fn show(run: &Path, out: &mut impl Write) -> Result<()> {
    let path = run.join("events.jsonl");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut lines = PlainLines::new(&mut *out, 1);
    let mut failure = None;
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    for event in events {
        match event {
            // A run has thousands of them.
            Event::Step(_) => {}
            Event::Failure { message } => failure = Some(message),
            event => lines.emit(event),
        }
    }
    drop(lines);
    if let Some(message) = failure {
        writeln!(out, "failed: {message}")?;
    }
    Ok(())
}

/// Serves the page of a run or of a folder of runs until Ctrl-C.
pub(crate) fn serve(arguments: &Serve) -> Result<ExitCode> {
    let folder = arguments.folder.clone();
    let target = if runs::is_run(&folder) {
        Target::Run(folder)
    } else {
        Target::Runs(folder)
    };
    let server = Server::bind(target, arguments.port, RunLock::is_held).map_err(Error::from)?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_stopped);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    writeln!(
        io::stdout(),
        "http://{}/ (Ctrl-C ends it)",
        server.address()
    )?;
    server
        .run(|| is_stopped.load(Ordering::Relaxed))
        .map_err(Error::from)?;
    Ok(ExitCode::SUCCESS)
}
