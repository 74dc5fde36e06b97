//! New tokenizers: what they know, that they repeat, and that they read back what they write.

use std::fs;

use rekindle_data::{
    Limit, NewTokenizer, TextInput, TextTokenizer, TokenizerKind, TokenizerRecipe, Truncation,
    VocabularyError,
};
use serde_json::Value;

const LIMIT: Limit = Limit {
    max_length: 512,
    truncation: Truncation::Error,
};

fn made(recipe: &TokenizerRecipe, texts: &[&str]) -> Result<NewTokenizer, VocabularyError> {
    recipe.train(texts.iter().map(|text| Ok((*text).to_owned())))
}

/// The files of a tokenizer by their names.
fn files(tokenizer: &NewTokenizer) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let written = tokenizer.save(folder.path()).unwrap();
    let texts = written.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.collect()
}

fn read_back(tokenizer: &NewTokenizer) -> TextTokenizer {
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    TextTokenizer::from_folder(folder.path()).unwrap()
}

fn ids(tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
    let input = TextInput::Single(text.to_owned());
    tokenizer.encode(&input, LIMIT).unwrap().unwrap().ids
}

fn tokens(tokenizer: &TextTokenizer, text: &str) -> Vec<String> {
    let ids = ids(tokenizer, text);
    ids.iter().map(|id| tokenizer.decode(&[*id])).collect()
}

/// Texts in which many pairs occur equally often.
fn ties(seed: u64) -> Vec<String> {
    let mut state = seed;
    let mut next = |most: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let mut word = || -> String {
        let letters = 2 + next(9);
        (0..letters)
            .map(|_| char::from(b'a' + next(4) as u8))
            .collect()
    };
    (0..60)
        .map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" "))
        .collect()
}

const ZOO: [&str; 4] = [
    "the lowest newest widest river",
    "low lower lowest, new newer newest",
    "The River ran low; the newest boat ran the River",
    "wide wider widest Café",
];

#[test]
fn word_pieces_are_bert_s() {
    let recipe = TokenizerRecipe::new(TokenizerKind::WordPiece, 80);
    let made = made(&recipe, &ZOO).unwrap();
    assert_eq!(made.texts, 4);
    let tokenizer = read_back(&made);
    assert_eq!(tokenizer.highest_id() as usize + 1, made.tokens);
    assert_eq!(
        tokens(&tokenizer, "The LOWEST café"),
        ["[CLS]", "the", "lowest", "c", "##a", "##f", "##e", "[SEP]"]
    );
    // What no text had is unknown.
    assert_eq!(tokens(&tokenizer, "zebra"), ["[CLS]", "[UNK]", "[SEP]"]);
    let pair = TextInput::Pair("the river".to_owned(), "ran".to_owned());
    let pair = tokenizer.encode(&pair, LIMIT).unwrap().unwrap();
    assert_eq!(
        tokenizer.decode(&pair.ids),
        "[CLS] the river [SEP] ran [SEP]"
    );
    assert_eq!(pair.type_ids, [0, 0, 0, 0, 1, 1]);
    for (id, token) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .iter()
        .enumerate()
    {
        assert_eq!(tokenizer.decode(&[id as u32]), *token);
    }
    let config: Value = serde_json::from_str(&files(&made)[1]).unwrap();
    assert_eq!(config["tokenizer_class"], "BertTokenizerFast");
    assert_eq!(config["do_lower_case"], true);
    assert_eq!(config["mask_token"], "[MASK]");
}

#[test]
fn cased_pieces_keep_capitals_and_accents() {
    let recipe = TokenizerRecipe {
        is_lowercase: false,
        min_frequency: 1,
        ..TokenizerRecipe::new(TokenizerKind::WordPiece, 200)
    };
    let tokenizer = read_back(&made(&recipe, &ZOO).unwrap());
    assert_eq!(
        tokens(&tokenizer, "The Café"),
        ["[CLS]", "The", "Café", "[SEP]"]
    );
    // No text had these letters inside of a word.
    assert_eq!(tokens(&tokenizer, "tHE")[1], "[UNK]");
}

#[test]
fn bytes_read_and_write_every_text() {
    let recipe = TokenizerRecipe::new(TokenizerKind::Bpe, 300);
    let made = made(&recipe, &ZOO).unwrap();
    let tokenizer = read_back(&made);
    for text in ["the newest river", "Zürich 東京 🦀\n\tend", " two  spaces "] {
        assert_eq!(tokenizer.decode(&ids(&tokenizer, text)), text);
    }
    assert!(tokens(&tokenizer, "the newest").contains(&" newest".to_owned()));
    assert_eq!(tokenizer.decode(&[0]), "<|endoftext|>");
    let config: Value = serde_json::from_str(&files(&made)[1]).unwrap();
    assert_eq!(config["tokenizer_class"], "GPT2TokenizerFast");
    assert_eq!(config["eos_token"], "<|endoftext|>");
    assert_eq!(config["bos_token"], "<|endoftext|>");
}

#[test]
fn special_tokens_have_the_roles_of_their_spelling() {
    let recipe = TokenizerRecipe {
        special: ["<pad>", "<s>", "</s>", "<|user|>"]
            .map(str::to_owned)
            .to_vec(),
        ..TokenizerRecipe::new(TokenizerKind::Bpe, 300)
    };
    let made = made(&recipe, &ZOO).unwrap();
    let config: Value = serde_json::from_str(&files(&made)[1]).unwrap();
    assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(config["pad_token"], "<pad>");
    assert_eq!(config["bos_token"], "<s>");
    assert_eq!(config["eos_token"], "</s>");
    assert_eq!(config["additional_special_tokens"][0], "<|user|>");
    let tokenizer = read_back(&made);
    assert_eq!(ids(&tokenizer, "<s><|user|></s><pad>"), [1, 3, 2, 0]);
}

#[test]
fn the_same_texts_give_the_same_files() {
    for seed in 0..40 {
        let texts = ties(seed);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for (kind, size) in [(TokenizerKind::WordPiece, 150), (TokenizerKind::Bpe, 380)] {
            let recipe = TokenizerRecipe::new(kind, size);
            let first = files(&made(&recipe, &texts).unwrap());
            let second = files(&made(&recipe, &texts).unwrap());
            assert_eq!(first, second, "{kind:?}, texts {seed}");
        }
    }
}

#[test]
fn a_vocabulary_has_the_size_that_is_asked_for_if_it_can() {
    let texts = ties(1);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let size = |kind, size| {
        made(&TokenizerRecipe::new(kind, size), &texts)
            .unwrap()
            .tokens
    };
    assert_eq!(size(TokenizerKind::WordPiece, 60), 60);
    assert_eq!(size(TokenizerKind::Bpe, 300), 300);
    assert!(size(TokenizerKind::WordPiece, 100_000) < 100_000);
}

#[test]
fn what_cannot_be_made_is_told() {
    let refusal = |recipe: &TokenizerRecipe, texts: &[&str]| {
        let error = made(recipe, texts).unwrap_err();
        format!("{error}\n{}", error.hint().unwrap())
    };
    let words = |size| TokenizerRecipe::new(TokenizerKind::WordPiece, size);
    assert_eq!(
        refusal(&words(100), &["", "  \n"]),
        "there is no text to make a tokenizer from: 2 texts, and no word in them\n\
         give text files, or JSON lines with `text`"
    );
    assert_eq!(
        refusal(&words(8), &["ab ba"]),
        "a vocabulary of 8 tokens has no room for 5 special tokens and 4 of the alphabet\n\
         give `--vocab-size 9`, better some thousands more"
    );
    let twice = TokenizerRecipe {
        special: vec!["[MASK]".to_owned()],
        ..words(100)
    };
    assert_eq!(
        refusal(&twice, &["ab"]),
        "a special token is blank or given twice: `[MASK]`\n\
         those of BERT are there without being named"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "").unwrap();
    let occupied = made(&words(100), &ZOO).unwrap().save(folder.path());
    assert!(matches!(occupied, Err(VocabularyError::Occupied { .. })));
}
