//! Texts in memory: other tokens are hidden in each epoch.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;

use rekindle_data::{MaskVocabulary, TextTokenizer};
use rekindle_train::batch::{Row, RowSource};
use rekindle_train::masked::MaskedTexts;
use rekindle_train::objective::Target;
use rekindle_train::recipe::MaskRecipe;

fn texts() -> MaskedTexts {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = crates.join("rekindle-data/tests/fixtures/wordpiece");
    let tokenizer = TextTokenizer::from_folder(&folder).unwrap();
    let vocabulary = MaskVocabulary::of(&tokenizer).unwrap();
    let ordinary = vocabulary.ordinary();
    let text = |length: usize| ordinary.iter().copied().take(length).collect();
    MaskedTexts {
        texts: [100, 3, 57].map(text).to_vec(),
        masker: MaskRecipe::default().masker(vocabulary),
        seed: 42,
    }
}

fn rows(texts: &MaskedTexts, epoch: usize) -> Vec<Row> {
    let row = |index| texts.row(index, epoch).unwrap().into_owned();
    (0..texts.len()).map(row).collect()
}

#[test]
fn each_epoch_hides_other_tokens_and_repeats() {
    let texts = texts();
    let first = rows(&texts, 0);
    assert_eq!(first, rows(&texts, 0));
    let second = rows(&texts, 1);
    assert_ne!(first[0], second[0]);
    assert_ne!(first[2], second[2]);
    let other = MaskedTexts {
        seed: 43,
        ..texts.clone()
    };
    assert_ne!(first[0], rows(&other, 0)[0]);
}

#[test]
fn a_row_has_the_length_of_its_text_and_gives_it_back() {
    let texts = texts();
    for (index, mut row) in rows(&texts, 5).into_iter().enumerate() {
        assert_eq!(row.number, index + 1);
        assert_eq!(row.ids.len(), texts.length(index));
        assert_eq!(row.type_ids, vec![0; row.ids.len()]);
        let Target::Masked(hidden) = &row.target else {
            panic!("the target is what is hidden");
        };
        assert!(!hidden.is_empty());
        for token in hidden {
            row.ids[token.position] = token.id;
        }
        assert_eq!(row.ids, texts.texts[index]);
    }
}
