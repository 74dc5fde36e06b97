//! `rekindle train`.

use std::process::ExitCode;

use anyhow::Result;
use rekindle::recipe::{Recipe, set};
use rekindle::train::{Briefing, RunFolder, prepare};
use rekindle::{Error, recipe};
use toml::Table;

use crate::args::{Dashboard, Train};
use crate::live::Live;
use crate::places::Folders;
use crate::progress::{DownloadBar, note};
use crate::restart;
use crate::summary::summarize;
use crate::watch::Watch;

/// Trains, and tells what came of it.
pub(crate) fn run(arguments: &Train) -> Result<ExitCode> {
    let table = table(arguments).map_err(Error::from)?;
    let recipe = Recipe::from_table(&table).map_err(Error::from)?;
    let log_every = recipe.train.log_every;
    let named = arguments.recipe.as_deref();
    let resumed = arguments
        .resume
        .then(|| RunFolder::find(named, arguments.output.as_deref(), &recipe))
        .transpose()?;
    let folders = Folders::from_env();
    let progress = &mut DownloadBar::default();
    let prepared = prepare(recipe, resumed, folders.places(), progress)?;
    if let Some(finish) = &prepared.finished {
        note(format_args!(
            "the run in {} is finished after {} steps: there is nothing to resume",
            prepared.folder.path.display(),
            finish.steps,
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.dashboard != Dashboard::None {
        let backend = &prepared.backend;
        tell(&prepared.briefing);
        note(format_args!(
            "backend {} ({}): {}",
            backend.found.backend, backend.found.device, backend.reason
        ));
    }
    let watch = Watch::start()?;
    let mut live = Live::start(arguments.dashboard, log_every, &watch);
    let outcome = prepared.run(&mut live, &watch, arguments.forward_rows);
    live.close();
    match outcome {
        Ok(outcome) => Ok(summarize(&outcome, arguments.dashboard)),
        Err(error) => restart::after(error, arguments, &watch),
    }
}

/// The recipe file, if any, with the flags written over it.
fn table(arguments: &Train) -> Result<Table, recipe::RecipeError> {
    let mut table = match &arguments.recipe {
        Some(folder) if folder.join("recipe.toml").exists() => {
            Recipe::table(&folder.join("recipe.toml"))?
        }
        Some(path) => Recipe::table(path)?,
        None => Table::new(),
    };
    for pair in pairs(arguments).iter().chain(&arguments.set) {
        set(&mut table, pair)?;
    }
    Ok(table)
}

/// The flags as `key=value` pairs.
fn pairs(arguments: &Train) -> Vec<String> {
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
        dtype,
        output,
        resume: _,
        dashboard: _,
        set: _,
        forward_rows: _,
        is_restarted: _,
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
    let texts = [
        ("model.base", model),
        ("data.valid", valid),
        ("model.task", task),
        ("method.kind", method),
        ("run.backend", backend),
        ("run.dtype", dtype),
        ("run.output", output),
    ];
    let mut all = Vec::new();
    for (key, value) in flags {
        all.extend(value.iter().map(|value| format!("{key}={value}")));
    }
    for (key, value) in texts {
        all.extend(value.iter().map(|value| quoted(key, value.as_str())));
    }
    if !data.is_empty() {
        all.push(quoted("data.train", data.clone()));
    }
    all
}

/// A pair whose value is text, whatever it looks like.
fn quoted(key: &str, value: impl Into<toml::Value>) -> String {
    format!("{key}={}", value.into())
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
        note(line);
    }
    for sample in samples {
        note(format_args!("  {}  =>  {}", sample.text, sample.target));
    }
    if let Some(baseline) = baseline {
        note(format_args!("a model that learned nothing: {baseline}"));
    }
    for warning in warnings {
        note(format_args!("warning: {warning}"));
    }
}
