//! Prompts with completions, chats and plain texts.
//!
//! A row has `prompt` and `completion` (texts, or lists of messages), `messages` as of `OpenAI`,
//! `conversations` as of `ShareGPT`, `instruction`, `input` and `output` as of Alpaca, or `text` alone.
//! The [`bundled`] glossary is a sample of it.

pub mod bundled;
mod chat;
mod row;

pub use row::{Prompt, example, instruction, is_instruction, prompt, read};
