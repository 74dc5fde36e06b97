//! What is hidden of a row: how much, behind what, and never a special token.

use std::path::Path;

use rekindle_data::{
    Draw, Limit, MaskVocabulary, Masked, Masker, TextInput, TextTokenizer, Truncation,
};

fn tokenizer(kind: &str) -> TextTokenizer {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    TextTokenizer::from_folder(&fixtures.join(kind)).unwrap()
}

fn masker(kind: &str, whole_word: bool) -> Masker {
    Masker {
        vocabulary: MaskVocabulary::of(&tokenizer(kind)).unwrap(),
        probability: 0.15,
        whole_word,
    }
}

fn draw(epoch: u64, row: u64) -> Draw {
    Draw {
        seed: 42,
        epoch,
        row,
    }
}

fn encode(kind: &str, text: &str) -> Vec<u32> {
    let limit = Limit {
        max_length: 10_000,
        truncation: Truncation::Error,
    };
    let text = TextInput::Single(text.to_owned());
    let encoded = tokenizer(kind).encode(&text, limit).unwrap().unwrap();
    encoded.ids
}

/// A long row: ordinary tokens in order, special ones around and between.
fn long_row(masker: &Masker, special: u32, length: usize) -> Vec<u32> {
    let ordinary = masker.vocabulary.ordinary().iter().cycle();
    let ordinary = ordinary.copied().take(length).enumerate();
    let token = |(position, id)| if position % 64 == 0 { special } else { id };
    ordinary.map(token).collect()
}

/// Whether a count is within three standard deviations of what `trials` of this probability give.
fn is_likely(count: usize, trials: usize, probability: f64) -> bool {
    let (expected, trials) = (probability * trials as f64, trials as f64);
    let deviation = (trials * probability * (1.0 - probability)).sqrt();
    (count as f64 - expected).abs() <= 3.0 * deviation
}

#[test]
fn rates_are_those_of_the_paper() {
    let masker = masker("wordpiece", false);
    let special = encode("wordpiece", "")[0];
    let (mut tokens, mut hidden, mut covered, mut replaced, mut same) = (0, 0, 0, 0, 0);
    let mut counts = vec![0_usize; masker.vocabulary.ordinary().len()];
    for row in 0..200 {
        let ids = long_row(&masker, special, 512);
        let Masked {
            ids: found,
            hidden: targets,
        } = masker.mask(&ids, draw(0, row));
        assert_eq!(found.len(), ids.len());
        tokens += ids.iter().filter(|&&id| id != special).count();
        hidden += targets.len();
        for target in &targets {
            assert_eq!(target.id, ids[target.position]);
            assert_ne!(target.id, special);
            let now = found[target.position];
            if now == masker.vocabulary.mask() {
                covered += 1;
            } else if now == target.id {
                same += 1;
            } else {
                replaced += 1;
                let ordinary = masker.vocabulary.ordinary();
                counts[ordinary
                    .binary_search(&now)
                    .expect("no special token is written")] += 1;
            }
        }
        let is_target = |position| targets.iter().any(|target| target.position == position);
        for position in 0..ids.len() {
            assert!(is_target(position) || found[position] == ids[position]);
        }
    }
    assert!(tokens > 100_000, "{tokens} tokens");
    // A replacement that happens to be the token itself counts as one that stayed.
    let luck = 0.1 / counts.len() as f64;
    assert!(
        is_likely(hidden, tokens, 0.15),
        "{hidden} of {tokens} hidden"
    );
    assert!(
        is_likely(covered, hidden, 0.8),
        "{covered} of {hidden} masked"
    );
    assert!(
        is_likely(replaced, hidden, 0.1 - luck),
        "{replaced} of {hidden} replaced"
    );
    assert!(
        is_likely(same, hidden, 0.1 + luck),
        "{same} of {hidden} stayed"
    );
    let unseen = counts.iter().filter(|&&count| count == 0).count();
    assert!(
        unseen < counts.len() / 2 || replaced < 2 * counts.len(),
        "replacements come from the whole vocabulary: {unseen} of {} never came",
        counts.len()
    );
}

#[test]
fn a_mask_is_drawn_anew_for_each_epoch_and_row_and_repeats() {
    let masker = masker("wordpiece", false);
    let ids = long_row(&masker, encode("wordpiece", "")[0], 256);
    let first = masker.mask(&ids, draw(0, 3));
    assert_eq!(first, masker.mask(&ids, draw(0, 3)));
    let other_seed = Draw {
        seed: 43,
        ..draw(0, 3)
    };
    for other in [draw(1, 3), draw(0, 4), draw(3, 0), other_seed] {
        assert_ne!(first, masker.mask(&ids, other), "{other:?}");
    }
}

#[test]
fn words_are_hidden_whole() {
    for kind in ["wordpiece", "byte-level", "unigram"] {
        let masker = masker(kind, true);
        let text =
            "Unbelievable, unforgettable stories of hyperventilating kangaroos (rarely) told. ";
        let ids = encode(kind, &text.repeat(20));
        let starts = masker.vocabulary.word_starts(&ids);
        let (mut words, mut hidden) = (0, 0);
        for row in 0..200 {
            let targets = masker.mask(&ids, draw(0, row)).hidden;
            let mut is_target = vec![false; ids.len()];
            for target in &targets {
                is_target[target.position] = true;
            }
            for position in 1..ids.len() {
                if !starts[position] {
                    assert_eq!(is_target[position], is_target[position - 1], "{kind}");
                }
            }
            let own = |position: &usize| {
                starts[*position] && !masker.vocabulary.is_special(ids[*position])
            };
            words += (0..ids.len()).filter(own).count();
            hidden += (0..ids.len()).filter(own).filter(|&p| is_target[p]).count();
        }
        assert!(
            is_likely(hidden, words, 0.15),
            "{kind}: {hidden} of {words} words"
        );
    }
}

#[test]
fn words_begin_where_tokens_say() {
    let starts = |kind: &str, text: &str| -> Vec<String> {
        let ids = encode(kind, text);
        let tokenizer = tokenizer(kind);
        let vocabulary = MaskVocabulary::of(&tokenizer).unwrap();
        let starts = vocabulary.word_starts(&ids);
        let mut words: Vec<Vec<u32>> = Vec::new();
        for (&id, starts) in ids.iter().zip(starts) {
            match words.last_mut() {
                Some(word) if !starts => word.push(id),
                _ => words.push(vec![id]),
            }
        }
        words.retain(|word| !vocabulary.is_special(word[0]));
        let texts = words
            .iter()
            .map(|word| tokenizer.decode(word).replace(' ', ""));
        // A space may be a token of its own.
        texts.filter(|text| !text.is_empty()).collect()
    };
    assert_eq!(
        starts("byte-level", "kangaroos (rarely) told."),
        ["kangaroos", "(", "rarely", ")", "told", "."]
    );
    assert_eq!(
        starts("unigram", "kangaroos rarely told."),
        ["kangaroos", "rarely", "told", "."]
    );
    assert_eq!(
        starts("wordpiece", "kangaroos, told."),
        ["kangaroos", ",", "told", "."]
    );
}

#[test]
fn each_row_has_something_to_give_back() {
    let masker = Masker {
        probability: 1e-9,
        ..masker("wordpiece", false)
    };
    let special = encode("wordpiece", "");
    let ordinary = masker.vocabulary.ordinary()[7];
    let mut row = special.clone();
    row.insert(1, ordinary);
    let hidden = masker.mask(&row, draw(0, 0)).hidden;
    assert_eq!(hidden.len(), 1);
    assert_eq!((hidden[0].position, hidden[0].id), (1, ordinary));
    let nothing = masker.mask(&special, draw(0, 0));
    assert_eq!(nothing.ids, special);
    assert_eq!(nothing.hidden, []);
    assert_eq!(masker.mask(&[], draw(0, 0)).hidden, []);
}

#[test]
fn a_tokenizer_without_a_mask_token_is_refused() {
    let error = MaskVocabulary::of(&tokenizer("chat")).unwrap_err();
    assert_eq!(error.to_string(), "the tokenizer has no mask token");
    assert!(error.hint().unwrap().contains("`[MASK]` or `<mask>`"));
}
