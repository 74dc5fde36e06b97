//! Blocks hold the whole stream in its order, sentences one document each, and parts are disjoint.

use std::sync::Arc;

use crate::setup::{self, PLAIN, Texts, WITH_BOS, documents, encoder};
use rekindle_corpus::{CorpusError, Documents, HELD_OUT, TextRows, TokenStore};

const WORDS: [&str; 6] = ["room", "quietly", "the", "film", "a", "東京"];

/// Lines of one word to thirty, more of them than one group of ends has.
fn lines(count: usize) -> String {
    let line = |number: usize| {
        let words = (0..=number * 7 % 30).map(|word| WORDS[(number + word * word) % WORDS.len()]);
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    (0..count).map(line).collect()
}

fn encoder_store(count: usize) -> (Texts, Arc<TokenStore>) {
    let texts = Texts::new(&[("a.txt", lines(count).as_bytes())]);
    let store = texts.open(&["a.txt"], Documents::Line).unwrap();
    assert_eq!(store.documents(), count);
    (texts, Arc::new(store))
}

/// All rows, each of the length that was told.
fn ids(rows: &TextRows) -> Vec<Vec<u32>> {
    let ids = |index| {
        let ids = rows.ids(index).unwrap();
        assert_eq!(ids.len(), rows.length(index));
        ids
    };
    (0..rows.len()).map(ids).collect()
}

#[test]
fn causal_blocks_are_the_stream() {
    let texts = Texts::new(&[
        ("a.txt", lines(2500).as_bytes()),
        ("b.txt", b"a"),
        ("c.txt", b"a film"),
    ]);
    for (config, before) in [(PLAIN, None), (WITH_BOS, Some("<s>"))] {
        let (tokenizer, renderer) = setup::decoder(config);
        let before: Vec<u32> = before.map(|_| renderer.frame().0[0]).into_iter().collect();
        assert!(before.iter().all(|id| tokenizer.decode(&[*id]) == "<s>"));
        for name in ["a.txt", "b.txt", "c.txt"] {
            let store = texts.open_decoder(name, config);
            let stream: Vec<u32> = documents(&store)
                .iter()
                .flat_map(|document| [&*before, document, &[renderer.frame().1]].concat())
                .collect();
            for max_length in [3, 4, 5, 7, 16, 127, 128, 1000, 1_000_000] {
                let blocks = ids(&TextRows::causal_blocks(&store, max_length).unwrap());
                assert_eq!(blocks.concat(), stream, "{name} {max_length}");
                let (last, others) = blocks.split_last().unwrap();
                // Each has something to predict.
                assert!((2..=max_length).contains(&last.len()), "{max_length}");
                let is_even = stream.len() % max_length != 1;
                for (index, block) in others.iter().enumerate() {
                    let gives = !is_even && index + 1 == others.len();
                    assert_eq!(block.len(), max_length - usize::from(gives));
                }
            }
        }
    }
}

#[test]
fn a_last_token_is_never_alone() {
    let texts = Texts::new(&[("a.txt", lines(20).as_bytes())]);
    let store = texts.open_decoder("a.txt", PLAIN);
    let total = store.tokens() as usize + store.documents();
    let mut alone = 0;
    for max_length in 3..total + 3 {
        let rows = TextRows::causal_blocks(&store, max_length).unwrap();
        alone += usize::from(total % max_length == 1);
        let lengths: Vec<_> = (0..rows.len()).map(|index| rows.length(index)).collect();
        assert_eq!(lengths.iter().sum::<usize>(), total);
        assert!(
            lengths
                .iter()
                .all(|length| (2..=max_length).contains(length))
        );
    }
    assert!(alone > 1);
}

#[test]
fn masked_blocks_are_the_stream_in_frames() {
    for (tokenizer, [open, close]) in [
        ("wordpiece", ["[CLS]", "[SEP]"]),
        ("byte-level", ["<s>", "</s>"]),
    ] {
        let tokenizer = encoder(tokenizer);
        let texts = Texts::new(&[("a.txt", lines(1500).as_bytes()), ("b.txt", b"a")]);
        for name in ["a.txt", "b.txt"] {
            let store = texts.open_with(&[name], Documents::Line, &tokenizer);
            let store = Arc::new(store.unwrap());
            let [before, after] = tokenizer.frame().unwrap();
            assert_eq!(tokenizer.decode(&before), open);
            assert_eq!(tokenizer.decode(&after), close);
            let stream = documents(&store).join(&after[0]);
            for max_length in [4, 5, 16, 127, 128, 1000, 1_000_000] {
                let blocks = ids(&TextRows::masked_blocks(&store, max_length).unwrap());
                let (last, others) = blocks.split_last().unwrap();
                assert!(others.iter().all(|block| block.len() == max_length));
                assert!((3..=max_length).contains(&last.len()));
                let inner = |block: &Vec<u32>| {
                    assert_eq!((block[0], block.last()), (before[0], after.first()));
                    block[1..block.len() - 1].to_vec()
                };
                let inner: Vec<_> = blocks.iter().map(inner).collect();
                let is_separator = |id: &u32| *id == after[0];
                assert!(inner.iter().all(|block| !block.iter().all(is_separator)));
                assert_eq!(inner.concat(), stream, "{max_length}");
            }
        }
    }
}

#[test]
fn an_epoch_holds_each_token_of_the_input_once() {
    let (_texts, store) = encoder_store(3000);
    let rows = TextRows::masked_blocks(&store, 64).unwrap();
    let [train, valid] = rows.hold_out(0.1, HELD_OUT, 7);
    let [before, after] = encoder("wordpiece").frame().unwrap();
    let mut found = [ids(&train), ids(&valid)].concat().concat();
    let mut expected = documents(&store).concat();
    expected.extend(vec![after[0]; store.documents() - 1 + rows.len()]);
    expected.extend(vec![before[0]; rows.len()]);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn sentences_are_documents_in_their_frames() {
    let (_texts, store) = encoder_store(2100);
    let [before, after] = encoder("wordpiece").frame().unwrap();
    for max_length in [3, 10, 64, 100_000] {
        let rows = TextRows::sentences(&store, max_length).unwrap();
        let most = max_length - 2;
        let documents = documents(&store);
        let long = documents.iter().filter(|document| document.len() > most);
        assert_eq!(rows.truncated(), long.count());
        for (document, row) in documents.iter().zip(ids(&rows)) {
            let kept = &document[..document.len().min(most)];
            assert_eq!(row, [&*before, kept, &after].concat());
        }
    }
    let all = TextRows::sentences(&store, 100_000).unwrap();
    assert_eq!(all.truncated(), 0);
}

#[test]
fn parts_are_disjoint_and_keep_their_numbers() {
    let (_texts, store) = encoder_store(1100);
    let rows = TextRows::sentences(&store, 32).unwrap();
    let [train, valid] = rows.hold_out(0.2, 50, 42);
    assert_eq!((train.len(), valid.len()), (1050, 50));
    let mut numbers = Vec::new();
    for part in [&train, &valid] {
        for index in 0..part.len() {
            let number = part.number(index);
            assert_eq!(part.ids(index).unwrap(), rows.ids(number).unwrap());
            assert_eq!(part.length(index), rows.length(number));
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1100).collect::<Vec<_>>());
    let [_, again] = rows.hold_out(0.2, 50, 42);
    assert_eq!(ids(&again), ids(&valid));
    let [_, other] = rows.hold_out(0.2, 50, 43);
    assert_ne!(ids(&other), ids(&valid));
    let [all, none] = rows.hold_out(0.0, 50, 42);
    assert_eq!((all.len(), none.is_empty()), (1100, true));
}

#[test]
fn rows_that_are_too_short_are_refused() {
    let (_texts, store) = encoder_store(3);
    let message = |rows: Result<TextRows, CorpusError>| rows.unwrap_err().to_string();
    let expected = "rows of 2 tokens are too short, at least 3 are needed";
    assert_eq!(message(TextRows::causal_blocks(&store, 2)), expected);
    assert_eq!(message(TextRows::sentences(&store, 2)), expected);
    let expected = "rows of 3 tokens are too short, at least 4 are needed";
    assert_eq!(message(TextRows::masked_blocks(&store, 3)), expected);
}

#[test]
fn rows_are_read_from_many_threads() {
    let (_texts, store) = encoder_store(5000);
    let rows = TextRows::masked_blocks(&store, 48).unwrap();
    let expected = ids(&rows);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (rows, expected) = (rows.clone(), &expected);
            scope.spawn(move || {
                for step in 0..rows.len() {
                    let index = (step * 31 + thread * 7) % rows.len();
                    assert_eq!(rows.ids(index).unwrap(), expected[index]);
                }
            });
        }
    });
}
