//! From counted words to a tokenizer.

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Lowercase};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, ModelWrapper, Tokenizer};

use super::words::Counted;
use super::{TokenizerKind, TokenizerRecipe, VocabularyError};

/// The most characters in the alphabet of word pieces, as in BERT's own trainer: rarer ones become `[UNK]`.
const MOST_CHARACTERS: usize = 1000;

/// Longer words become `[UNK]`.
const LONGEST_WORD: usize = 100;

/// What marks a piece inside of a word.
const INSIDE: &str = "##";

/// A tokenizer without a vocabulary: how texts are cut into words.
pub(super) fn rules(recipe: &TokenizerRecipe) -> Tokenizer {
    let mut rules = Tokenizer::new(BPE::default());
    match recipe.kind {
        TokenizerKind::WordPiece => {
            let normalizer = BertNormalizer::new(true, true, None, recipe.is_lowercase);
            rules.with_normalizer(Some(normalizer));
            rules.with_pre_tokenizer(Some(BertPreTokenizer));
        }
        TokenizerKind::Bpe => {
            if recipe.is_lowercase {
                rules.with_normalizer(Some(Lowercase));
            }
            rules.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        }
    }
    rules
}

/// The vocabulary.
pub(super) fn model(
    recipe: &TokenizerRecipe,
    special: &[String],
    counted: &Counted,
) -> Result<ModelWrapper, VocabularyError> {
    let (alphabet, words) = match recipe.kind {
        TokenizerKind::WordPiece => pieces(&counted.words),
        TokenizerKind::Bpe => {
            let alphabet: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
            let alphabet = alphabet.into_iter().map(String::from).collect();
            (alphabet, counted.words.iter().collect())
        }
    };
    if special.len() + alphabet.len() > recipe.vocab_size {
        return Err(VocabularyError::TooSmall {
            asked: recipe.vocab_size,
            special: special.len(),
            alphabet: alphabet.len(),
        });
    }
    // Given as special tokens, they get their ids before the trainer would make ids in the order of its map.
    let first = special.iter().chain(&alphabet);
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(recipe.vocab_size)
        .min_frequency(recipe.min_frequency)
        .special_tokens(first.map(|token| AddedToken::from(token, true)).collect())
        .build();
    if recipe.kind == TokenizerKind::WordPiece {
        trainer.continuing_subword_prefix = Some(INSIDE.to_owned());
    }
    let mut merged = BPE::default();
    let counts = words.into_iter();
    let counts = counts.map(|(word, count)| (word.as_str().into(), *count));
    trainer
        .do_train(&counts.collect(), &mut merged)
        .map_err(|source| VocabularyError::Build { source })?;
    Ok(match recipe.kind {
        TokenizerKind::WordPiece => WordPiece::from_bpe(&merged).into(),
        TokenizerKind::Bpe => merged.into(),
    })
}

/// The alphabet of word pieces, at the beginning of words and inside of them, and the words that it can write.
fn pieces(words: &BTreeMap<String, u64>) -> (Vec<String>, Vec<(&String, &u64)>) {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        for character in word.chars() {
            *counts.entry(character).or_default() += count;
        }
    }
    let mut ranked: Vec<(char, u64)> = counts.into_iter().collect();
    ranked.sort_by_key(|(character, count)| (std::cmp::Reverse(*count), *character));
    ranked.truncate(MOST_CHARACTERS);
    let known: BTreeSet<char> = ranked.into_iter().map(|(character, _)| character).collect();
    let is_written = |word: &str| {
        word.chars().count() <= LONGEST_WORD
            && word.chars().all(|character| known.contains(&character))
    };
    let words: Vec<_> = words.iter().filter(|(word, _)| is_written(word)).collect();
    let inside = words.iter().flat_map(|(word, _)| word.chars().skip(1));
    let inside: BTreeSet<char> = inside.collect();
    let inside = inside
        .into_iter()
        .map(|character| format!("{INSIDE}{character}"));
    let alphabet = known.iter().map(ToString::to_string);
    (alphabet.chain(inside).collect(), words)
}

/// Gives a vocabulary to the rules, and what comes after cutting.
pub(super) fn complete(
    recipe: &TokenizerRecipe,
    tokenizer: &mut Tokenizer,
    model: ModelWrapper,
    special: &[String],
) -> Result<(), VocabularyError> {
    tokenizer.with_model(model);
    let tokens: Vec<AddedToken> = special
        .iter()
        .map(|token| AddedToken::from(token, true))
        .collect();
    tokenizer.add_special_tokens(&tokens);
    match recipe.kind {
        TokenizerKind::WordPiece => {
            let around = around(tokenizer).map_err(|source| VocabularyError::Build { source })?;
            tokenizer.with_post_processor(Some(around));
            tokenizer.with_decoder(Some(WordPieceDecoder::new(INSIDE.to_owned(), true)));
        }
        TokenizerKind::Bpe => {
            tokenizer.with_post_processor(Some(ByteLevel::new(true, false, true)));
            tokenizer.with_decoder(Some(ByteLevel::default()));
        }
    }
    Ok(())
}

/// BERT's special tokens around a text and around a pair.
fn around(tokenizer: &Tokenizer) -> Result<TemplateProcessing, tokenizers::Error> {
    let tokens = ["[CLS]", "[SEP]"].map(|token| {
        let id = tokenizer.token_to_id(token);
        (token, id.expect("special tokens are in the vocabulary"))
    });
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")?
        .try_pair("[CLS] $A [SEP] $B:1 [SEP]:1")?
        .special_tokens(tokens.to_vec())
        .build();
    template.map_err(Into::into)
}
