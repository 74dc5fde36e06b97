//! Rows of a file, each answered with a completion.

use std::ops::ControlFlow;

use rekindle_data::{Message, Record, RowError};
use serde_json::{Map, Value, json};

use super::{Answer, Asked, Generator, Options, Prompt, Write};
use crate::backend::Choice;
use crate::error::Error;
use crate::predict::{Answered, WriteAnswer};

/// Rows that are read, answered and written at a time; memory does not grow with the input.
const ROWS_AT_ONCE: usize = 256;

/// Rows that are written together.
const BATCH_SIZE: usize = 16;

/// A row on its way to an answer.
struct Pending {
    /// Its place among those read with it.
    index: usize,
    prompt: Prompt,
    is_chat: bool,
}

impl Generator {
    /// Answers rows as they come, and writes an object for each, in order: its fields and `completion`.
    ///
    /// A row holds `prompt`, `messages` or `text`; a last message of the assistant is left out.
    pub fn answer(
        &self,
        backend: &Choice,
        records: &mut dyn Iterator<Item = Result<Record, RowError>>,
        asked: &Asked,
        write: &mut WriteAnswer,
    ) -> Result<Answered, Error> {
        let options = self.options(asked)?;
        self.run(backend, |engine| {
            let mut answered = Answered::default();
            loop {
                let records: Vec<_> = (&mut *records).take(ROWS_AT_ONCE).collect();
                if records.is_empty() {
                    return Ok(answered);
                }
                let first = (answered.rows + answered.failed) as u64;
                let (mut answers, pending) = self.prompts(records, first, asked.max_tokens);
                answered.rows += pending.len();
                answered.failed += answers.len() - pending.len();
                complete(pending, &options, engine, &mut answers)?;
                for answer in answers {
                    write(answer).map_err(|source| Error::Write {
                        path: "the answers".into(),
                        source,
                    })?;
                }
            }
        })?
    }

    /// The fields of each row, those of a bad one with an `error`, and the prompts of the others.
    fn prompts(
        &self,
        records: Vec<Result<Record, RowError>>,
        first: u64,
        max_tokens: Option<usize>,
    ) -> (Vec<Map<String, Value>>, Vec<Pending>) {
        let (mut answers, mut pending) = (Vec::new(), Vec::new());
        for (index, record) in records.into_iter().enumerate() {
            let fields = record.as_ref().map(|record| record.fields.clone());
            let mut fields = fields.unwrap_or_default();
            match record.and_then(|record| self.row(&record, max_tokens)) {
                Ok((prompt, is_chat)) => pending.push(Pending {
                    index,
                    prompt: Prompt {
                        number: first + index as u64,
                        ..prompt
                    },
                    is_chat,
                }),
                Err(error) => {
                    fields.insert("error".into(), json!(error.to_string()));
                }
            }
            answers.push(fields);
        }
        (answers, pending)
    }

    fn row(&self, record: &Record, max_tokens: Option<usize>) -> Result<(Prompt, bool), RowError> {
        let failed = |error: Error| {
            let hint = error.hint().unwrap_or_default();
            RowError::new(record.line, error.to_string(), hint)
        };
        match rekindle_instruct::prompt(record)? {
            rekindle_instruct::Prompt::Text(text) => {
                let prompt = self.text(&text, max_tokens).map_err(failed)?;
                Ok((prompt, false))
            }
            rekindle_instruct::Prompt::Chat { messages, tools } => {
                let messages: &[Message] = &messages;
                let ids = self.renderer.chat(messages, tools.as_ref());
                let ids = ids.map_err(|error| failed(error.into()))?;
                let prompt = self.prompt(ids, max_tokens);
                Ok((prompt.map_err(|error| failed(error.into()))?, true))
            }
        }
    }
}

/// Puts its completion to each row; rows of similar length are written together.
fn complete(
    mut pending: Vec<Pending>,
    options: &Options,
    engine: &Write,
    answers: &mut [Map<String, Value>],
) -> Result<(), Error> {
    pending.sort_by_key(|row| row.prompt.ids.len());
    for batch in pending.chunks(BATCH_SIZE) {
        let prompts: Vec<Prompt> = batch.iter().map(|row| row.prompt.clone()).collect();
        let written = engine(options, &prompts, &mut |_| ControlFlow::Continue(()))?;
        for (row, Answer { text, .. }) in batch.iter().zip(written) {
            // A message has no white space around it, whatever its template writes there.
            let text = if row.is_chat { text.trim() } else { &text };
            answers[row.index].insert("completion".into(), json!(text));
        }
    }
    Ok(())
}
