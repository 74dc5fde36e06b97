//! Typed examples for language models: texts, prompts with completions, chats.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Who says a message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions for the whole chat.
    System,
    /// The newer name of instructions; few templates know it.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool answered.
    Tool,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::System,
        Self::Developer,
        Self::User,
        Self::Assistant,
        Self::Tool,
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        })
    }
}

/// A name that is not that of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role `{0}` is not known")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.to_string() == name);
        role.ok_or_else(|| UnknownRole(name.to_owned()))
    }
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What the chat template sees: `role`, `content`, and whatever else the row holds.
    pub fields: Map<String, Value>,
    /// Whether it is learned, if the assistant says it.
    pub weight: bool,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let mut fields = Map::new();
        fields.insert("role".to_owned(), Value::String(role.to_string()));
        fields.insert("content".to_owned(), Value::String(content.into()));
        Self {
            role,
            fields,
            weight: true,
        }
    }

    /// Its text; none if it has none, as a message that only calls tools.
    pub fn content(&self) -> Option<&str> {
        self.fields.get("content")?.as_str()
    }

    /// Whether its tokens are targets.
    pub fn is_target(&self) -> bool {
        self.role == Role::Assistant && self.weight
    }
}

/// What a language model learns from one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text, all of which is learned.
    Text(String),
    /// A text that is given and one that is to follow, concatenated as they are.
    Completion {
        /// What is given.
        prompt: String,
        /// What is learned.
        completion: String,
    },
    /// Messages, of which the assistant's are learned.
    Chat {
        /// The messages in their order.
        messages: Vec<Message>,
        /// Tools that the model may call, as the chat template takes them.
        tools: Option<Value>,
    },
}

/// A row that a language model learns from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationExample {
    /// What it holds.
    pub content: Content,
    /// Line of the file, from 1.
    pub line: usize,
}

impl GenerationExample {
    /// All that is said in it, by which equal rows are found.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Text(text) => text.clone(),
            Content::Completion { prompt, completion } => format!("{prompt}\n{completion}"),
            Content::Chat { messages, .. } => {
                let texts = messages
                    .iter()
                    .map(|message| Value::Object(message.fields.clone()).to_string());
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_read_back() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "human".parse::<Role>().unwrap_err();
        assert_eq!(error.to_string(), "role `human` is not known");
    }

    #[test]
    fn only_the_assistant_is_learned() {
        assert!(Message::new(Role::Assistant, "a").is_target());
        assert!(!Message::new(Role::User, "a").is_target());
        let passed = Message {
            weight: false,
            ..Message::new(Role::Assistant, "a")
        };
        assert!(!passed.is_target());
    }
}
