//! `rekindle predict`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use rekindle::data::{Format, Record, Records, RowError};
use rekindle::{Error, predict::Answered};
use serde_json::{Map, Value};

use crate::args::Predict;
use crate::eval::{cannot_write, open};
use crate::failure::FAILED;
use crate::progress::note;

/// Answers rows, each with an object.
pub(crate) fn run(arguments: &Predict) -> Result<ExitCode> {
    let (predictor, backend) = open(&arguments.trained)?;
    let mut records = records(arguments)?;
    let mut out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|source| cannot_write(path, source))?,
        )),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut write = |answer: Map<String, Value>| writeln!(out, "{}", Value::Object(answer));
    let answered = predictor.answer(&backend, &mut records, arguments.logits, &mut write)?;
    out.flush()?;
    let Answered {
        rows: _,
        failed,
        truncated,
    } = answered;
    if truncated > 0 {
        note(format_args!(
            "warning: {truncated} rows were cut to the maximum length"
        ));
    }
    if failed > 0 {
        note(format_args!(
            "error: {failed} rows could not be answered; each holds its `error`"
        ));
        return Ok(ExitCode::from(FAILED));
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows to answer.
fn records(
    arguments: &Predict,
) -> Result<Box<dyn Iterator<Item = Result<Record, RowError>>>, Error> {
    match &arguments.input {
        Some(path) if path == Path::new("-") => Ok(Box::new(Records::from_reader(
            BufReader::new(io::stdin()),
            Format::Jsonl,
        ))),
        Some(path) => Ok(Box::new(Records::open(path, None)?)),
        None => {
            let texts = arguments.text.clone().into_iter().enumerate();
            Ok(Box::new(texts.map(|(index, text)| {
                let fields = Map::from_iter([("text".to_owned(), Value::String(text))]);
                Ok(Record {
                    line: index + 1,
                    fields,
                })
            })))
        }
    }
}
