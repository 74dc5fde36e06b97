//! Why a model cannot answer.

/// A prompt cannot be answered, or not in the way that is asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// A setting of the sampling is out of its range.
    #[error("`{name}` is {value}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Values that are possible.
        expected: &'static str,
    },
    /// A setting that chooses among likely tokens, where always the likeliest is taken.
    #[error("`{name}` has no effect at temperature 0, which always takes the likeliest token")]
    Greedy {
        /// The setting.
        name: &'static str,
    },
    /// An empty stop string would stop everything.
    #[error("a stop string is empty")]
    EmptyStop,
    /// There is nothing to go on from.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// No token is asked for.
    #[error("an answer of 0 tokens is asked for")]
    NoTokens,
    /// Prompt and answer are longer than what the model can read.
    #[error(
        "the prompt has {prompt} tokens, which with {answer} for the answer is more than the {most} that \
         the model reads"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the answer.
        answer: usize,
        /// Tokens possible.
        most: usize,
    },
    /// The model computes no numbers.
    #[error("the model gives no numbers for the next token: its logits are not finite")]
    NotFinite,
}

impl GenerateError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Setting { .. } => return None,
            Self::Greedy { .. } => "leave it out, or give `--temperature 0.7`".to_owned(),
            Self::EmptyStop => "give a text at which to stop, or none".to_owned(),
            Self::EmptyPrompt => "give a text to go on from".to_owned(),
            Self::NoTokens => "ask for 1 or more".to_owned(),
            Self::TooLong { prompt, most, .. } if prompt < most => {
                format!(
                    "ask for at most {} tokens, or shorten the prompt",
                    most - prompt
                )
            }
            Self::TooLong { most, .. } => {
                format!("shorten the prompt to less than {most} tokens")
            }
            Self::NotFinite => {
                "its weights are damaged, or its training diverged; take an earlier \
                                checkpoint, or copy the model again"
                    .to_owned()
            }
        };
        Some(text)
    }
}
