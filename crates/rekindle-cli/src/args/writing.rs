//! Arguments of the commands that let a language model write.

use std::path::PathBuf;

use clap::Args;
use rekindle::generate::Asked;

/// The model that writes.
#[derive(Debug, Args)]
pub(crate) struct LanguageModel {
    /// Language model: a run folder, a model folder, or `org/name[@revision]` on the Hub.
    #[arg(long, value_name = "ID|DIR")]
    pub(crate) model: String,
    /// Backend: auto, or one that `rekindle doctor` lists.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) backend: String,
    /// Tokens of prompt and answer together, at most [default: what the model can read].
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
}

/// How a language model writes.
#[derive(Debug, Args)]
#[command(next_help_heading = "How a language model writes")]
pub(crate) struct Writing {
    /// Tokens of an answer, at most [default: 128, or those that the model has room for].
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// 0 always takes the likeliest token, more takes others more often [default: 0; in a chat 0.7, or what
    /// the model's `generation_config.json` says, as for the next three].
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Draw from the N likeliest tokens alone.
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together have this probability alone.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Make tokens that were there before less likely by this factor [default: 1, not at all].
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repetition_penalty: Option<f64>,
    /// Seed of the draws [default: 42].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Text at which an answer ends, without it; may be repeated.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

/// What `generate` takes.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) model: LanguageModel,
    /// Text to go on with; `-` reads it from standard input, without the line break at its end.
    #[arg(long, value_name = "TEXT|-", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Print one JSON object at the end.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// What `chat` takes.
#[derive(Debug, Args)]
#[command(after_help = "In the chat: /help, /reset, /save FILE, /quit; Ctrl-C stops an answer.")]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) model: LanguageModel,
    /// Instructions for the whole conversation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// A line that was typed in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Blank,
    Text(String),
    Help,
    Reset,
    /// The file, if one is named.
    Save(Option<PathBuf>),
    Quit,
    Unknown(String),
}

impl Writing {
    /// The settings for the library.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            stop: self.stop.clone(),
        }
    }

    /// The first flag that was given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let Self {
            max_tokens,
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            seed,
            stop,
        } = self;
        let flags = [
            ("--max-tokens", max_tokens.is_some()),
            ("--temperature", temperature.is_some()),
            ("--top-k", top_k.is_some()),
            ("--top-p", top_p.is_some()),
            ("--repetition-penalty", repetition_penalty.is_some()),
            ("--seed", seed.is_some()),
            ("--stop", !stop.is_empty()),
        ];
        let given = flags.into_iter().find(|(_, is_given)| *is_given);
        given.map(|(flag, _)| flag)
    }
}

impl Line {
    /// A command begins with a slash; a space before it makes it text.
    pub(crate) fn parse(line: &str) -> Self {
        let text = line.trim();
        if text.is_empty() {
            return Self::Blank;
        }
        if !line.starts_with('/') {
            return Self::Text(text.to_owned());
        }
        let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match (command, rest.trim()) {
            ("/help", "") => Self::Help,
            ("/reset", "") => Self::Reset,
            ("/quit" | "/exit", "") => Self::Quit,
            ("/save", "") => Self::Save(None),
            ("/save", file) => Self::Save(Some(file.into())),
            _ => Self::Unknown(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_beginning_makes_a_command() {
        let cases = [
            ("hello\n", Line::Text("hello".into())),
            ("  \n", Line::Blank),
            ("/reset\n", Line::Reset),
            ("/save a b.jsonl \n", Line::Save(Some("a b.jsonl".into()))),
            ("/save\n", Line::Save(None)),
            ("/quit", Line::Quit),
            ("/quit now", Line::Unknown("/quit now".into())),
            ("/etc/hosts", Line::Unknown("/etc/hosts".into())),
            (" /etc/hosts\n", Line::Text("/etc/hosts".into())),
        ];
        for (line, parsed) in cases {
            assert_eq!(Line::parse(line), parsed, "{line:?}");
        }
    }
}
