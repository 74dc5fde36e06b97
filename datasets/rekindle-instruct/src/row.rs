//! From a record to what a language model learns, or answers.

use std::path::Path;

use rekindle_data::{
    Content, DataError, Dataset, GenerationExample, Message, Record, Role, RowError, Source,
    TaskKind, value_kind,
};
use serde_json::Value;

use crate::chat;

/// What a model is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A text to go on with.
    Text(String),
    /// A chat whose next message is the assistant's.
    Chat {
        /// The messages so far.
        messages: Vec<Message>,
        /// Tools that the model may call.
        tools: Option<Value>,
    },
}

/// Reads a file of prompts, chats or texts; without a task, the rows tell it.
pub fn read(path: &Path, task: Option<TaskKind>) -> Result<Dataset<GenerationExample>, DataError> {
    examples(Source::read(path)?, task)
}

/// All examples of a file.
pub(crate) fn examples(
    source: Source,
    task: Option<TaskKind>,
) -> Result<Dataset<GenerationExample>, DataError> {
    let inference = source.task(task)?;
    if inference.task != TaskKind::Generate {
        return Err(DataError::OtherTask {
            path: source.path,
            found: inference.task,
        });
    }
    source.examples(inference, example)
}

/// The example in a row.
pub fn example(record: &Record) -> Result<GenerationExample, RowError> {
    let content = if has(record, "messages") || has(record, "conversations") {
        let messages = chat::messages(record)?;
        chat::require_answer(record, &messages)?;
        let tools = chat::tools(record)?;
        Content::Chat { messages, tools }
    } else if has(record, "prompt") || has(record, "completion") {
        completion(record)?
    } else if has(record, "instruction") || has(record, "output") {
        Content::Completion {
            prompt: instructed(record)?,
            completion: answer(record, "output")?,
        }
    } else {
        Content::Text(filled(record, "text")?)
    };
    let line = record.line;
    Ok(GenerationExample { content, line })
}

/// What is to be answered in a row, which needs no answer; one at the end of a chat is left out.
pub fn prompt(record: &Record) -> Result<Prompt, RowError> {
    if has(record, "messages") || has(record, "conversations") {
        let mut messages = chat::messages(record)?;
        if messages
            .last()
            .is_some_and(|last| last.role == Role::Assistant)
        {
            messages.pop();
        }
        if messages.is_empty() {
            let fix = "begin the chat with a message of the user";
            return Err(RowError::new(record.line, "holds nothing to answer", fix));
        }
        let tools = chat::tools(record)?;
        return Ok(Prompt::Chat { messages, tools });
    }
    if let Some(Value::Array(list)) = record.field("prompt") {
        let messages = chat::list(record, "prompt", list)?;
        let tools = chat::tools(record)?;
        return Ok(Prompt::Chat { messages, tools });
    }
    if has(record, "prompt") {
        return Ok(Prompt::Text(text(record, "prompt")?));
    }
    if has(record, "instruction") {
        return Ok(Prompt::Text(instructed(record)?));
    }
    Ok(Prompt::Text(text(record, "text")?))
}

/// A prompt and its completion: two texts, or two lists of messages.
fn completion(record: &Record) -> Result<Content, RowError> {
    let (Some(Value::Array(prompt)), Some(Value::Array(completion))) =
        (record.field("prompt"), record.field("completion"))
    else {
        return Ok(Content::Completion {
            prompt: text(record, "prompt")?,
            completion: answer(record, "completion")?,
        });
    };
    let mut messages = chat::list(record, "prompt", prompt)?;
    for message in &mut messages {
        message.weight = false;
    }
    messages.extend(chat::list(record, "completion", completion)?);
    chat::require_answer(record, &messages)?;
    let tools = chat::tools(record)?;
    Ok(Content::Chat { messages, tools })
}

/// The prompt of a row with an instruction.
fn instructed(record: &Record) -> Result<String, RowError> {
    let instruction = filled(record, "instruction")?;
    let input = match record.field("input") {
        None => String::new(),
        Some(_) => text(record, "input")?,
    };
    Ok(self::instruction(&instruction, &input))
}

/// What every prompt of Stanford Alpaca begins with.
const BEGINNING: &str = "Below is an instruction that describes a task";

/// The prompt of Stanford Alpaca (`PROMPT_DICT` of its `train.py`), to which the answer is appended; the
/// input may be empty.
pub fn instruction(instruction: &str, input: &str) -> String {
    if input.is_empty() {
        format!(
            "{BEGINNING}. Write a response that appropriately \
             completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
        )
    } else {
        format!(
            "{BEGINNING}, paired with an input that provides \
             further context. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
        )
    }
}

/// Whether a prompt is one of Stanford Alpaca.
pub fn is_instruction(prompt: &str) -> bool {
    prompt.starts_with(BEGINNING) && prompt.ends_with("### Response:")
}

fn has(record: &Record, field: &str) -> bool {
    record.fields.contains_key(field)
}

/// The text of an answer, which must not be empty.
fn answer(record: &Record, field: &str) -> Result<String, RowError> {
    let text = text(record, field)?;
    if text.trim().is_empty() {
        let fix = "write the answer or remove the row";
        return Err(RowError::new(record.line, "is empty", fix).in_field(field));
    }
    Ok(text)
}

/// A text with more in it than white space.
fn filled(record: &Record, field: &str) -> Result<String, RowError> {
    let text = text(record, field)?;
    if text.trim().is_empty() {
        let message = "holds no text, only white space or nothing";
        let fix = "write a text or remove the row";
        return Err(RowError::new(record.line, message, fix).in_field(field));
    }
    Ok(text)
}

fn text(record: &Record, field: &str) -> Result<String, RowError> {
    let error =
        |message: String, fix: &str| RowError::new(record.line, message, fix).in_field(field);
    match record.field(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(error(
            format!("holds {}", value_kind(other)),
            "write a string",
        )),
        None => {
            let names = match record.field_names() {
                names if names.is_empty() => "no field".to_owned(),
                names => names,
            };
            let fix = "a row has `prompt` and `completion`, `messages`, or `text`";
            Err(error(format!("is missing; the row has {names}"), fix))
        }
    }
}
