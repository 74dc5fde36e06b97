//! Token ids, truncation and word numbers equal those of transformers (`tokenizer_reference.py`).

use std::fs;
use std::path::PathBuf;

use rekindle_data::{
    Encoded, EncodedWords, Limit, TextInput, TextTokenizer, TokenizerError, Truncation,
};
use serde_json::Value;

const KINDS: [&str; 3] = ["wordpiece", "byte-level", "unigram"];

const NO_LIMIT: Limit = Limit {
    max_length: 100_000,
    truncation: Truncation::Error,
};

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(kind)
}

fn tokenizer(kind: &str) -> TextTokenizer {
    TextTokenizer::from_folder(&folder(kind)).unwrap()
}

fn expected(kind: &str) -> Value {
    let text = fs::read_to_string(folder(kind).join("encodings.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|number| number.as_u64().unwrap() as u32).collect()
}

fn limit(length: &Value, side: &Value) -> Limit {
    let truncation = match side.as_str().unwrap() {
        "left" => Truncation::Left,
        _ => Truncation::Right,
    };
    let max_length = length.as_u64().map_or(100_000, |length| length as usize);
    Limit {
        max_length,
        truncation,
    }
}

fn single(text: &str) -> TextInput {
    TextInput::Single(text.to_owned())
}

fn right(max_length: usize) -> Limit {
    Limit {
        max_length,
        truncation: Truncation::Right,
    }
}

/// Compares one case; `truncated` is checked against the length without a limit.
fn check(found: &Encoded, whole: usize, ids: &Value, type_ids: &Value, case: &Value) {
    assert_eq!(found.ids, numbers(ids), "{case}");
    assert_eq!(found.type_ids, numbers(type_ids), "{case}");
    assert_eq!(found.truncated, found.ids.len() < whole, "{case}");
}

#[test]
fn texts_encode_as_in_transformers() {
    for kind in KINDS {
        let (tokenizer, expected) = (tokenizer(kind), expected(kind));
        for case in expected["texts"].as_array().unwrap() {
            let input = single(expected["inputs"][number(&case[0])].as_str().unwrap());
            let limit = limit(&case[1], &case[2]);
            let found = tokenizer.encode(&input, limit).unwrap().unwrap();
            let whole = tokenizer.encode(&input, NO_LIMIT).unwrap().unwrap();
            check(&found, whole.ids.len(), &case[3], &case[4], case);
        }
    }
}

#[test]
fn pairs_are_cut_longest_first_as_in_transformers() {
    for kind in KINDS {
        let (tokenizer, expected) = (tokenizer(kind), expected(kind));
        let text = |k: &Value| expected["inputs"][number(k)].as_str().unwrap().to_owned();
        for case in expected["pairs"].as_array().unwrap() {
            let input = TextInput::Pair(text(&case[0]), text(&case[1]));
            let limit = limit(&case[2], &case[3]);
            let found = tokenizer.encode(&input, limit).unwrap().unwrap();
            let whole = tokenizer.encode(&input, NO_LIMIT).unwrap().unwrap();
            check(&found, whole.ids.len(), &case[4], &case[5], case);
        }
    }
}

#[test]
fn words_encode_as_in_transformers() {
    for kind in KINDS {
        let (tokenizer, expected) = (tokenizer(kind), expected(kind));
        for case in expected["words"].as_array().unwrap() {
            let sentence = &expected["sentences"][number(&case[0])];
            let words: Vec<String> = serde_json::from_value(sentence.clone()).unwrap();
            let limit = limit(&case[1], &case[2]);
            let found = tokenizer.encode_words(&words, limit).unwrap().unwrap();
            assert_eq!(found.ids, numbers(&case[3]), "{kind} {case}");
            let word_ids: Vec<Option<usize>> = serde_json::from_value(case[4].clone()).unwrap();
            assert_eq!(found.words, word_ids, "{kind} {case}");
        }
    }
}

#[test]
fn sections_for_padding_and_truncation_are_ignored_with_a_note() {
    let tokenizer = tokenizer("wordpiece");
    assert_eq!(tokenizer.notes().len(), 2, "{:?}", tokenizer.notes());
    assert!(tokenizer.notes()[0].contains("truncates to 10 tokens"));
    assert!(tokenizer.notes()[1].contains("pads"));
    let short = tokenizer.encode(&single("a"), right(512)).unwrap().unwrap();
    assert_eq!(short.ids.len(), 3);
    let long = single(&"the ".repeat(30));
    assert_eq!(
        tokenizer
            .encode(&long, right(512))
            .unwrap()
            .unwrap()
            .ids
            .len(),
        32
    );
    assert!(self::tokenizer("unigram").notes().is_empty());
}

#[test]
fn a_row_of_exactly_the_limit_is_whole() {
    let tokenizer = tokenizer("wordpiece");
    let input = single("the film was");
    let row = tokenizer.encode(&input, right(5)).unwrap().unwrap();
    assert_eq!((row.ids.len(), row.truncated), (5, false));
    let row = tokenizer.encode(&input, right(4)).unwrap().unwrap();
    assert_eq!((row.ids.len(), row.truncated), (4, true));
}

#[test]
fn long_rows_can_be_dropped_or_refused() {
    let tokenizer = tokenizer("wordpiece");
    let (long, short) = (single("the film was great"), single("the film"));
    let limit = |truncation| Limit {
        max_length: 5,
        truncation,
    };
    assert_eq!(
        tokenizer.encode(&long, limit(Truncation::Drop)).unwrap(),
        None
    );
    assert!(
        tokenizer
            .encode(&short, limit(Truncation::Drop))
            .unwrap()
            .is_some()
    );
    let error = tokenizer
        .encode(&long, limit(Truncation::Error))
        .unwrap_err();
    assert_eq!(error.to_string(), "the row has 6 tokens, the limit is 5");
    assert!(error.hint().unwrap().contains("`drop`"));
}

#[test]
fn a_limit_without_room_for_text_is_an_error() {
    let tokenizer = tokenizer("byte-level");
    let pair = TextInput::Pair("a".to_owned(), "b".to_owned());
    for (input, length) in [(single("a"), 2), (single("a"), 0), (pair, 4)] {
        let error = tokenizer.encode(&input, right(length)).unwrap_err();
        assert!(matches!(error, TokenizerError::NoRoom { .. }), "{error}");
    }
    assert!(tokenizer.encode(&single("a"), right(3)).is_ok());
}

#[test]
fn a_batch_gives_each_row_its_own_result() {
    let tokenizer = tokenizer("wordpiece");
    let inputs = [
        single("the film"),
        single("the film was great"),
        single("a"),
    ];
    let limit = Limit {
        max_length: 5,
        truncation: Truncation::Error,
    };
    let found = tokenizer.encode_batch(&inputs.each_ref(), limit);
    for (row, input) in found.iter().zip(&inputs) {
        let alone = tokenizer.encode(input, limit);
        assert_eq!(row.as_ref().ok(), alone.as_ref().ok());
        assert_eq!(row.is_err(), alone.is_err());
    }
    assert!(found[1].is_err() && found[2].is_ok());
    let words = [vec!["the".to_owned()], vec!["a".to_owned(), "b".to_owned()]];
    let found = tokenizer.encode_words_batch(&[&words[0], &words[1]], limit);
    let second: &EncodedWords = found[1].as_ref().unwrap().as_ref().unwrap();
    assert_eq!(second.words, [None, Some(0), Some(1), None]);
}

#[test]
fn the_highest_id_counts_added_tokens() {
    assert_eq!(tokenizer("unigram").highest_id(), 126);
    let mut json: Value =
        serde_json::from_slice(&fs::read(folder("unigram").join("tokenizer.json")).unwrap())
            .unwrap();
    let mut added = json["added_tokens"][0].clone();
    added["id"] = 127.into();
    added["content"] = "<added>".into();
    json["added_tokens"].as_array_mut().unwrap().push(added);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(tokenizer.highest_id(), 127);
}

#[test]
fn a_folder_without_a_tokenizer_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, TokenizerError::Missing { .. }));
    assert!(error.hint().unwrap().contains("save_pretrained"));
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, TokenizerError::Parse { .. }), "{error}");
}

#[test]
fn texts_alone_and_their_frame_make_the_whole_row() {
    let texts = [
        "A room, quietly.",
        "x",
        "wrong  spaces\nand a line",
        "é 東京 🎉",
    ];
    for kind in KINDS {
        let tokenizer = tokenizer(kind);
        let [before, after] = tokenizer.frame().unwrap();
        let bare = tokenizer.texts(&texts);
        for (text, bare) in texts.iter().zip(bare) {
            let whole = tokenizer.encode(&single(text), NO_LIMIT).unwrap().unwrap();
            let framed = [before.clone(), bare.unwrap(), after.clone()].concat();
            assert_eq!(framed, whole.ids, "{kind}: {text}");
        }
    }
}

#[test]
fn a_tokenizer_is_known_by_its_file() {
    let digests = KINDS.map(|kind| tokenizer(kind).digest().to_owned());
    assert!(digests.iter().all(|digest| digest.len() == 64));
    assert_ne!(digests[0], digests[1]);
    assert_eq!(digests[0], tokenizer(KINDS[0]).digest());
}
