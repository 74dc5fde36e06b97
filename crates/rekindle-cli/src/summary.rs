//! What is printed after a run: what it reached, where its result is, and what to type next.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use rekindle::data::TaskKind;
use rekindle::events::End;
use rekindle::recipe::BUNDLED;
use rekindle::rows::Opening;
use rekindle::train::Outcome;

use crate::args::Dashboard;
use crate::failure::{FAILED, INTERRUPTED};
use crate::progress::note;

/// A model of which the command needs nothing but a name, for who has only met the bundled one.
const LARGER: &str = "google-bert/bert-base-uncased";

/// Tells what came of a run, and gives its exit code.
pub(crate) fn summarize(outcome: &Outcome, dashboard: Dashboard) -> ExitCode {
    let is_interrupted = outcome.finish.end == End::Interrupted;
    let is_saved = outcome.finish.checkpoint == Some(outcome.finish.steps);
    if is_interrupted {
        if !is_saved {
            let newest = outcome.finish.checkpoint.unwrap_or(0);
            note(format_args!(
                "error: step {} could not be saved: the run goes on after step {newest}",
                outcome.finish.steps
            ));
        }
        note(format_args!(
            "go on: {} train {} --resume",
            program(),
            outcome.folder.path.display()
        ));
    }
    // Where events go to standard output, nothing else does.
    let mut out: Box<dyn Write> = match dashboard {
        Dashboard::Json => Box::new(io::stderr()),
        Dashboard::Auto | Dashboard::Tui | Dashboard::Plain | Dashboard::None => {
            Box::new(io::stdout())
        }
    };
    for line in lines(outcome, program()) {
        // A closed pipe takes nothing away: the model is saved.
        let _ = writeln!(out, "{line}");
    }
    match (is_interrupted, is_saved) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::from(FAILED),
    }
}

/// How this program was called: by its name, or by cargo in the project's folder.
fn program() -> &'static str {
    let package = env::var("CARGO_PKG_NAME");
    let is_of_cargo =
        env::var_os("CARGO").is_some() && package.is_ok_and(|it| it == "rekindle-cli");
    match is_of_cargo {
        true if cfg!(debug_assertions) => "cargo run --",
        true => "cargo run --release --",
        false => "rekindle",
    }
}

fn lines(outcome: &Outcome, program: &str) -> Vec<String> {
    let folder = &outcome.folder;
    let mut lines = Vec::new();
    lines.extend(reached(outcome));
    lines.push(format!("model saved in {}", folder.model().display()));
    let report = folder.path.join("report.html");
    lines.push(format!("report: {}", report.display()));
    lines.push(format!("try it: {}", next(outcome, program)));
    if outcome.recipe.model.base == BUNDLED {
        lines.push(format!(
            "your own: {program} train --model {LARGER} --data FILE"
        ));
    }
    lines
}

/// The number that the kept weights were chosen by, and when it was reached.
fn reached(outcome: &Outcome) -> Option<String> {
    let finish = &outcome.finish;
    let (metric, best) = (finish.metric.as_ref()?, finish.best?);
    let per_epoch = outcome.steps_per_epoch.max(1);
    let when = match finish.best_step % per_epoch {
        0 => format!(
            "epoch {} of {}",
            finish.best_step / per_epoch,
            finish.steps.div_ceil(per_epoch)
        ),
        _ => format!("step {} of {}", finish.best_step, finish.steps),
    };
    Some(format!("best {metric} {best:.4}, after {when}"))
}

/// The command that uses the model.
fn next(outcome: &Outcome, program: &str) -> String {
    let folder = outcome.folder.path.display();
    match outcome.task {
        TaskKind::Generate => match outcome.opening {
            Opening::Chat => format!("{program} chat --model {folder}"),
            Opening::Text => format!("{program} generate --model {folder} --prompt \"...\""),
            // The words around an instruction are those of the training rows.
            Opening::Instruction => format!(
                "echo '{{\"instruction\": \"...\"}}' | {program} predict --model {folder} --input -"
            ),
        },
        TaskKind::Mask | TaskKind::Distill => {
            format!("{program} train --model {folder} --data FILE")
        }
        TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress | TaskKind::Tag => {
            let is_of_reviews = outcome.recipe.data.train.is_empty();
            let text = if is_of_reviews { "I love it." } else { "..." };
            format!("{program} predict --model {folder} --text \"{text}\"")
        }
    }
}
