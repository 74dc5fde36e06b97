//! `rekindle train`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rekindle::dashboard::{EventLog, PlainLines, Sink};
use rekindle::events::Event;
use rekindle::hub::HubOptions;
use rekindle::recipe::{Recipe, set};
use rekindle::train::{Briefing, Outcome, prepare};
use rekindle::{Error, recipe};
use toml::Table;

use crate::args::{Dashboard, Train};
use crate::failure::INTERRUPTED;
use crate::progress::DownloadBar;

/// Trains, and tells what came of it.
pub(crate) fn run(arguments: &Train) -> Result<ExitCode> {
    let table = table(arguments).map_err(Error::from)?;
    let recipe = Recipe::from_table(&table).map_err(Error::from)?;
    let log_every = recipe.train.log_every;
    let prepared = prepare(recipe, &HubOptions::from_env(), &mut DownloadBar::default())?;
    let is_quiet = arguments.dashboard == Dashboard::None;
    if !is_quiet {
        let backend = &prepared.backend;
        tell(&prepared.briefing);
        eprintln!(
            "backend {} ({}): {}",
            backend.found.backend, backend.found.device, backend.reason
        );
    }
    let mut sink: Box<dyn Sink> = match arguments.dashboard {
        Dashboard::Auto | Dashboard::Plain => Box::new(PlainLines::new(io::stderr(), log_every)),
        Dashboard::Json => Box::new(EventLog::new(io::stdout())),
        Dashboard::None => Box::new(PlainLines::new(io::sink(), log_every)),
    };
    let is_stopped = stop_on_interrupt()?;
    let outcome = prepared.run(&mut |event: Event| sink.emit(event), &|| {
        is_stopped.load(Ordering::Relaxed)
    })?;
    if !is_quiet {
        summarize(&outcome);
    }
    Ok(if outcome.finish.is_interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// The recipe file, if any, with the flags written over it.
fn table(arguments: &Train) -> Result<Table, recipe::RecipeError> {
    let mut table = match &arguments.recipe {
        Some(path) => Recipe::table(path)?,
        None => Table::new(),
    };
    let Train {
        recipe: _,
        model,
        data,
        valid,
        task,
        method,
        epochs,
        max_steps,
        batch_size,
        learning_rate,
        learning_rate_multiplier,
        max_length,
        seed,
        backend,
        output,
        dashboard: _,
        set: pairs,
    } = arguments;
    let flags = [
        ("train.epochs", epochs),
        ("train.max_steps", max_steps),
        ("train.batch_size", batch_size),
        ("train.learning_rate", learning_rate),
        ("train.learning_rate_multiplier", learning_rate_multiplier),
        ("data.max_length", max_length),
        ("train.seed", seed),
    ];
    for (key, value) in flags {
        if let Some(value) = value {
            set(&mut table, &format!("{key}={value}"))?;
        }
    }
    let texts = [
        ("model.base", model),
        ("data.valid", valid),
        ("model.task", task),
        ("method.kind", method),
        ("run.backend", backend),
        ("run.output", output),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            set(
                &mut table,
                &format!("{key}={}", toml::Value::from(value.as_str())),
            )?;
        }
    }
    if !data.is_empty() {
        set(
            &mut table,
            &format!("data.train={}", toml::Value::from(data.clone())),
        )?;
    }
    for pair in pairs {
        set(&mut table, pair)?;
    }
    Ok(table)
}

/// Prints the plan before step 1.
fn tell(briefing: &Briefing) {
    let Briefing {
        notes,
        warnings,
        plan,
        samples,
        baseline,
    } = briefing;
    for line in notes.iter().chain(plan) {
        eprintln!("{line}");
    }
    for sample in samples {
        eprintln!("  {}  =>  {}", sample.text, sample.target);
    }
    if let Some(baseline) = baseline {
        eprintln!("a model that learned nothing: {baseline}");
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// Says where the result is, and what to type next.
fn summarize(outcome: &Outcome) {
    let folder = outcome.folder.path.display();
    let mut out = io::stdout().lock();
    // A closed pipe takes nothing away: the model is saved.
    let _ = writeln!(out, "model saved in {}", outcome.folder.model().display());
    let _ = writeln!(
        out,
        "try it: rekindle predict --model {folder} --text \"...\""
    );
}

/// A flag that Ctrl-C and SIGTERM raise; a second one ends the process at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_stopped);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("stopping after this step; press Ctrl-C again to stop at once");
    })?;
    Ok(is_stopped)
}
