//! `rekindle eval`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use rekindle::backend::{Choice, choose};
use rekindle::predict::{EvaluatedRow, Evaluation, Predictor};
use rekindle::{Error, scores::Scores};
use serde_json::{Value, json};

use crate::args::{Eval, Trained};
use crate::places::{Folders, resolve};
use crate::progress::{DownloadBar, note};

/// Opens the model that a command names, and the backend that it asks for.
pub(crate) fn open(trained: &Trained) -> Result<(Predictor, Choice), Error> {
    let backend = choose(&trained.backend)?;
    let folder = resolve(&trained.model)?;
    let predictor = Predictor::open(&folder, trained.task, trained.max_length)?;
    Ok((predictor, backend))
}

/// Scores a file and prints the numbers.
pub(crate) fn run(arguments: &Eval) -> Result<ExitCode> {
    let (predictor, backend) = open(&arguments.trained)?;
    let folders = Folders::from_env();
    let keeping = (folders.places().cache, &mut DownloadBar::default() as _);
    let evaluation = predictor.evaluate(&backend, &arguments.data, keeping)?;
    for line in &evaluation.notes {
        note(line);
    }
    if evaluation.truncated > 0 {
        note(format_args!(
            "warning: {} rows were cut to the maximum length",
            evaluation.truncated
        ));
    }
    if evaluation.skipped > 0 {
        note(format_args!(
            "warning: {} rows have no word to score",
            evaluation.skipped
        ));
    }
    if let Some(path) = &arguments.per_example {
        write_rows(path, &evaluation.rows)?;
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", to_json(&evaluation))?;
    } else {
        write!(out, "{}", table(&evaluation))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_rows(path: &Path, rows: &[EvaluatedRow]) -> Result<()> {
    let failed = |source| cannot_write(path, source);
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    for row in rows {
        writeln!(file, "{}", serde_json::to_string(row)?).map_err(failed)?;
    }
    Ok(file.flush().map_err(failed)?)
}

/// Says which file could not be written.
pub(crate) fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source,
    }
}

fn to_json(evaluation: &Evaluation) -> Value {
    let Scores { details, .. } = &evaluation.evaluated.scores;
    json!({
        "rows": evaluation.rows.len(),
        "loss": evaluation.evaluated.loss,
        "metrics": evaluation.evaluated.scores.to_json(),
        "details": details,
    })
}

/// The numbers, then a line for each class.
fn table(evaluation: &Evaluation) -> String {
    let scores = &evaluation.evaluated.scores;
    let mut text = format!("{:<16} {}\n", "rows", evaluation.rows.len());
    text += &format!("{:<16} {:.4}\n", "loss", evaluation.evaluated.loss);
    for (name, value) in &scores.summary {
        text += &format!("{name:<16} {value:.4}\n");
    }
    let list = |key: &str| scores.details.get(key).and_then(Value::as_array).cloned();
    if let (Some(labels), Some(classes)) = (list("labels"), list("classes")) {
        let name = |label: &Value| label.as_str().unwrap_or_default().to_owned();
        let width = labels
            .iter()
            .map(|l| name(l).chars().count())
            .max()
            .unwrap_or(0)
            .max(5);
        text += &format!(
            "\n{:<width$} precision   recall       f1     rows\n",
            "class"
        );
        for (label, class) in labels.iter().zip(&classes) {
            let number = |key: &str| class[key].as_f64().unwrap_or(f64::NAN);
            text += &format!(
                "{:<width$} {:>9.4} {:>8.4} {:>8.4} {:>8}\n",
                name(label),
                number("precision"),
                number("recall"),
                number("f1"),
                class["support"].as_u64().unwrap_or(0),
            );
        }
    }
    if let Some(confusion) = list("confusion") {
        text += "\nconfusion (rows: expected, columns: predicted, in the order above)\n";
        for row in &confusion {
            for cell in row.as_array().into_iter().flatten() {
                text += &format!("{:>6}", cell.as_u64().unwrap_or(0));
            }
            text.push('\n');
        }
    }
    text
}
