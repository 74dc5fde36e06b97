//! Why an example cannot be rendered, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::{Role, TokenizerError};

/// A prompt, a chat or an example cannot become tokens.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A file of the model does not open.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of the model is not what it should be.
    #[error("`{}` is not valid JSON: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The chat template is not one.
    #[error("the chat template in `{}` cannot be read: {source}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        source: Box<minijinja::Error>,
    },
    /// The files name a token that the tokenizer lacks.
    #[error("`{}` names the token `{token}`, which the tokenizer lacks", path.display())]
    UnknownToken {
        /// The file.
        path: PathBuf,
        /// The token.
        token: String,
    },
    /// No file names a token that ends a text.
    #[error("`{}` names no end-of-sequence token", folder.display())]
    NoEnd {
        /// The model's folder.
        folder: PathBuf,
    },
    /// The tokenizer fails on a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template refuses the messages, by its own words.
    #[error("the chat template refuses the messages: `{message}`")]
    Refused {
        /// What the template says.
        message: String,
    },
    /// The chat template fails on the messages.
    #[error("the chat template fails on the messages: {source}")]
    Chat {
        /// What the engine says.
        source: Box<minijinja::Error>,
    },
    /// The chat template writes nothing of a message.
    #[error("the chat template leaves out message {number}, of role `{role}`")]
    LeftOut {
        /// The message, from 1.
        number: usize,
        /// Its role.
        role: Role,
    },
    /// It cannot be told which part of a rendered chat an assistant's message is.
    #[error("cannot tell where message {number} {edge} in what the chat template writes")]
    Untraceable {
        /// The message, from 1.
        number: usize,
        /// `begins` or `ends`.
        edge: &'static str,
    },
    /// A text holds a character that marks things here.
    #[error("the text holds U+{:04X}, which is no character", u32::from(*character))]
    Noncharacter {
        /// The character.
        character: char,
    },
    /// The tokenizer makes a special token of its mere name.
    #[error("the tokenizer makes the special token `{token}` of a text that only spells it")]
    Unescapable {
        /// The token.
        token: String,
    },
    /// A row is longer than allowed.
    #[error("the row has {length} tokens, the limit is {max_length}")]
    TooLong {
        /// Its tokens.
        length: usize,
        /// The most tokens of a row.
        max_length: usize,
    },
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Read { .. } => "check the path and its permissions",
            Self::Parse { .. } | Self::UnknownToken { .. } => {
                "copy it again from where the model came from"
            }
            Self::Template { .. } => {
                "put a corrected template into `chat_template.jinja` beside it, which goes first"
            }
            Self::NoEnd { .. } => {
                "name it as `eos_token` in `tokenizer_config.json`: \
                 without one the model never learns to stop"
            }
            Self::Tokenizer(error) => return error.hint(),
            Self::Refused { .. } => {
                "change the roles or their order to what the model was made for"
            }
            Self::Chat { .. } => {
                "check that the row has the fields that the template in `tokenizer_config.json` \
                 or `chat_template.jinja` reads"
            }
            Self::LeftOut {
                role: Role::Developer,
                ..
            } => "use the role `system`",
            Self::LeftOut { .. } => "remove the message, or use a role that the template writes",
            Self::Untraceable { .. } => {
                "put a template that writes each message in its turn into `chat_template.jinja`, \
                 or use `prompt` and `completion`"
            }
            Self::Noncharacter { .. } => "remove it from the text",
            Self::Unescapable { .. } => "remove its name from the text",
            Self::TooLong { .. } => {
                "give a larger `--max-length`, shorten the row, \
                 or let `truncation` be `right`, `left` or `drop`"
            }
        };
        Some(text.to_owned())
    }
}
