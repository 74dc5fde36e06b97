//! The files of a new tokenizer, as transformers reads them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::{TokenizerKind, TokenizerRecipe, VocabularyError};

/// The spellings by which a special token's role is known.
const ROLES: [(&str, &[&str]); 7] = [
    (
        "bos_token",
        &["<s>", "<bos>", "<|startoftext|>", "<|begin_of_text|>"],
    ),
    (
        "eos_token",
        &["</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>"],
    ),
    ("unk_token", &["[UNK]", "<unk>"]),
    ("sep_token", &["[SEP]"]),
    ("pad_token", &["[PAD]", "<pad>", "<|pad|>"]),
    ("cls_token", &["[CLS]"]),
    ("mask_token", &["[MASK]", "<mask>"]),
];

/// `tokenizer_config.json` and `special_tokens_map.json`.
pub(super) fn settings(recipe: &TokenizerRecipe, special: &[String]) -> [(&'static str, Value); 2] {
    let mut roles = Map::new();
    for (role, spellings) in ROLES {
        let token = special
            .iter()
            .find(|token| spellings.contains(&token.as_str()));
        if let Some(token) = token {
            roles.insert(role.to_owned(), json!(token));
        }
    }
    if recipe.kind == TokenizerKind::Bpe {
        // Every text of a decoder must end somehow; as in GPT-2 one token may begin it, too.
        let end = roles
            .get("eos_token")
            .cloned()
            .unwrap_or_else(|| json!(special[0]));
        roles.entry("bos_token").or_insert_with(|| end.clone());
        roles.insert("eos_token".to_owned(), end);
    }
    let named = |token: &&String| roles.values().any(|known| known == *token);
    let others: Vec<&String> = special.iter().filter(|token| !named(token)).collect();
    let class = match recipe.kind {
        TokenizerKind::WordPiece => "BertTokenizerFast",
        TokenizerKind::Bpe if is_gpt2(recipe, special) => "GPT2TokenizerFast",
        TokenizerKind::Bpe => "PreTrainedTokenizerFast",
    };
    let mut config = Map::new();
    config.insert("tokenizer_class".to_owned(), json!(class));
    config.insert("model_max_length".to_owned(), json!(recipe.max_length));
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    match recipe.kind {
        TokenizerKind::WordPiece => {
            config.insert("do_lower_case".to_owned(), json!(recipe.is_lowercase));
            config.insert("strip_accents".to_owned(), Value::Null);
            config.insert("tokenize_chinese_chars".to_owned(), json!(true));
        }
        TokenizerKind::Bpe => {
            config.insert("add_prefix_space".to_owned(), json!(false));
        }
    }
    let mut map = roles.clone();
    config.extend(roles);
    if !others.is_empty() {
        for object in [&mut config, &mut map] {
            object.insert("additional_special_tokens".to_owned(), json!(others));
        }
    }
    [
        ("tokenizer_config.json", Value::Object(config)),
        ("special_tokens_map.json", Value::Object(map)),
    ]
}

/// Whether transformers' class for GPT-2 cuts texts in the same way.
fn is_gpt2(recipe: &TokenizerRecipe, special: &[String]) -> bool {
    !recipe.is_lowercase && special == ["<|endoftext|>"]
}

pub(super) fn check_folder(folder: &Path) -> Result<(), VocabularyError> {
    let failed = |source| VocabularyError::Write {
        path: folder.to_owned(),
        source,
    };
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(VocabularyError::Occupied {
            path: folder.to_owned(),
        }),
    }
}

pub(super) fn save(
    tokenizer: &Tokenizer,
    settings: &[(&'static str, Value)],
    folder: &Path,
) -> Result<Vec<PathBuf>, VocabularyError> {
    check_folder(folder)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| VocabularyError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let text = tokenizer.to_string(true);
    let text = text.map_err(|source| VocabularyError::Build { source })?;
    let settings = settings
        .iter()
        .map(|(name, value)| (*name, format!("{value:#}")));
    let files = [("tokenizer.json", text)].into_iter().chain(settings);
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text + "\n").map_err(failed(&path))?;
        written.push(path);
    }
    Ok(written)
}
