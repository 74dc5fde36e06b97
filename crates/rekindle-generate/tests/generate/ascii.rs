//! Tokens that are the characters of ASCII.

use rekindle_data::{Renderer, TextTokenizer};
use serde_json::{Map, Value, json};

/// Number of tokens.
pub(crate) const VOCABULARY: usize = 128;

/// The token that ends answers.
pub(crate) const END: u8 = b'.';

/// Each character of ASCII is a token, and a dot ends texts.
pub(crate) fn renderer() -> Renderer {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary: Map<String, Value> = (0..VOCABULARY as u8)
        .map(|byte| (char::from(byte).to_string(), json!(byte)))
        .collect();
    let end = json!({
        "id": END, "content": ".", "special": true, "normalized": false,
        "lstrip": false, "rstrip": false, "single_word": false,
    });
    let tokenizer = json!({
        "added_tokens": [end],
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        "decoder": {"type": "Fuse"},
    });
    let write = |file: &str, json: Value| {
        std::fs::write(folder.path().join(file), json.to_string()).unwrap();
    };
    write("tokenizer.json", tokenizer);
    write("tokenizer_config.json", json!({"eos_token": "."}));
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    Renderer::open(folder.path(), &tokenizer).unwrap()
}
