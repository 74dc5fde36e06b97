//! Prompts with completions, chats and plain texts.
