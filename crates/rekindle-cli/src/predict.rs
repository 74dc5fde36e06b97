//! `rekindle predict`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use rekindle::data::{Format, Record, Records, RowError, TaskKind};
use rekindle::{Error, predict::Answered};
use serde_json::{Map, Value};

use crate::args::Predict;
use crate::eval::{cannot_write, open};
use crate::failure::FAILED;
use crate::progress::note;

/// Answers rows, each with an object.
pub(crate) fn run(arguments: &Predict) -> Result<ExitCode> {
    let (predictor, backend) = open(&arguments.trained)?;
    if let Some(flag) = arguments.writing.first_given() {
        ensure!(
            predictor.task() == TaskKind::Generate,
            "this model scores text: `{flag}` is for language models"
        );
    }
    let mut records = records(arguments)?;
    let mut out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|source| cannot_write(path, source))?,
        )),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut write = |answer: Map<String, Value>| writeln!(out, "{}", Value::Object(answer));
    let answered = if predictor.task() == TaskKind::Generate {
        ensure!(
            !arguments.logits,
            "this model writes text: `--logits` is for models that score"
        );
        let generator = predictor.into_generator(arguments.trained.max_length)?;
        generator.answer(
            &backend,
            &mut records,
            &arguments.writing.asked(),
            &mut write,
        )?
    } else {
        predictor.answer(&backend, &mut records, arguments.logits, &mut write)?
    };
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
