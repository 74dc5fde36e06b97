//! The different words of texts, and how often each occurs.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Tokenizer,
};

use super::VocabularyError;

/// Bytes of text that are cut into words at a time, on all cores.
const BATCH: usize = 1 << 20;

/// What was found in texts.
pub(super) struct Counted {
    /// Texts that were read.
    pub(super) texts: u64,
    /// How often each word occurs.
    pub(super) words: BTreeMap<String, u64>,
}

/// Counts words; a word is what the tokenizer's rules never cut together with another one.
pub(super) fn count<E: From<VocabularyError>>(
    rules: &Tokenizer,
    texts: impl IntoIterator<Item = Result<String, E>>,
) -> Result<Counted, E> {
    let mut words = HashMap::new();
    let (mut batch, mut bytes, mut count) = (Vec::new(), 0, 0);
    for text in texts {
        let text = text?;
        count += 1;
        bytes += text.len();
        batch.push(text);
        if bytes >= BATCH {
            add(&mut words, rules, &batch)?;
            batch.clear();
            bytes = 0;
        }
    }
    add(&mut words, rules, &batch)?;
    if words.is_empty() {
        return Err(VocabularyError::NoText { texts: count }.into());
    }
    Ok(Counted {
        texts: count,
        words: words.into_iter().collect(),
    })
}

/// Adds the words of a batch of texts.
fn add(
    words: &mut HashMap<String, u64>,
    rules: &Tokenizer,
    batch: &[String],
) -> Result<(), VocabularyError> {
    let found = batch
        .par_iter()
        .try_fold(HashMap::new, |mut words, text| {
            for word in cut(rules, text)? {
                *words.entry(word).or_insert(0) += 1;
            }
            Ok(words)
        })
        .collect::<Result<Vec<HashMap<String, u64>>, tokenizers::Error>>();
    for (word, count) in found
        .map_err(|source| VocabularyError::Build { source })?
        .into_iter()
        .flatten()
    {
        *words.entry(word).or_insert(0) += count;
    }
    Ok(())
}

/// The words of a text.
fn cut(rules: &Tokenizer, text: &str) -> Result<Vec<String>, tokenizers::Error> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = rules.get_normalizer() {
        normalizer.normalize(&mut normalized)?;
    }
    let mut cut = PreTokenizedString::from(normalized);
    if let Some(pre_tokenizer) = rules.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut cut)?;
    }
    let words = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
    let words = words.into_iter().map(|(word, _, _)| word.to_owned());
    Ok(words.filter(|word| !word.is_empty()).collect())
}
