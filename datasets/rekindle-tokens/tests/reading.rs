//! Files of tagged sentences, good and bad.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;

use rekindle_data::{DataError, Dataset, Format, Record, TaggedExample, TaskKind};
use rekindle_tokens::{example, read, words};
use serde_json::json;

fn read_text(name: &str, text: &str) -> Result<Dataset<TaggedExample>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read(&path)
}

fn record(fields: serde_json::Value) -> Record {
    let serde_json::Value::Object(fields) = fields else {
        panic!("not an object");
    };
    Record { line: 7, fields }
}

#[test]
fn json_lines_and_columns_give_the_same_sentences() {
    let lines = "{\"tokens\": [\"New\", \"York\"], \"tags\": [\"B-city\", \"I-city\"]}\n\
                 {\"tokens\": [\"no\"], \"tags\": [\"O\"], \"intent\": \"other\"}\n";
    let columns = "New B-city\nYork I-city\n\nno O\n";
    let lines = read_text("a.jsonl", lines).unwrap();
    let columns = read_text("a.conll", columns).unwrap();
    let sentences = |data: &Dataset<TaggedExample>| {
        let rows = data.rows.iter();
        rows.map(|row| (row.tokens.clone(), row.tags.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(sentences(&lines), sentences(&columns));
    assert_eq!(lines.labels().names(), ["B-city", "I-city", "O"]);
    assert_eq!(lines.inference.task, TaskKind::Tag);
    assert_eq!((lines.rows[1].line, columns.rows[1].line), (2, 4));
    assert_eq!(
        (lines.format, columns.format),
        (Format::Jsonl, Format::Conll)
    );
}

#[test]
fn iob1_is_converted_in_either_format_and_the_note_says_so() {
    let columns = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n\nRome NNP I-NP I-LOC\nParis NNP B-NP B-LOC\n";
    let lines = "{\"tokens\": [\"U.N.\", \"official\"], \"tags\": [\"I-ORG\", \"O\"]}\n\
                 {\"tokens\": [\"Rome\", \"Paris\"], \"tags\": [\"I-LOC\", \"B-LOC\"]}\n";
    for (name, text) in [("a.conll", columns), ("a.jsonl", lines)] {
        let data = read_text(name, text).unwrap();
        assert_eq!(data.rows[0].tags, ["B-ORG", "O"]);
        assert_eq!(data.rows[1].tags, ["B-LOC", "B-LOC"]);
        assert!(
            data.inference.reason.contains("IOB1"),
            "{}",
            data.inference.reason
        );
    }
}

#[test]
fn a_bio_file_with_one_slip_is_kept_with_a_note() {
    let data = read_text("a.bio", "x B-a\n\ny I-a\n").unwrap();
    assert_eq!(data.rows[1].tags, ["I-a"]);
    assert!(data.inference.reason.contains("kept"));
}

#[test]
fn lists_of_unequal_length_are_an_error_of_the_row() {
    let error = example(&record(json!({"tokens": ["a", "b"], "tags": ["O"]}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 7: field `tags`: 2 tokens have 1 tags"
    );
}

#[test]
fn blank_tokens_and_empty_sentences_are_errors_of_the_row() {
    let error = example(&record(json!({"tokens": ["a", " "], "tags": ["O", "O"]}))).unwrap_err();
    assert_eq!(error.to_string(), "line 7: field `tokens`: item 2 is empty");
    let error = example(&record(json!({"tokens": [], "tags": []}))).unwrap_err();
    assert_eq!(error.to_string(), "line 7: field `tokens`: is empty");
}

#[test]
fn items_that_are_not_strings_are_errors_of_the_row() {
    let error = example(&record(json!({"tokens": ["a"], "tags": [3]}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 7: field `tags`: item 1 is an integer"
    );
    let error = words(&record(json!({"tokens": "a b"}))).unwrap_err();
    assert_eq!(error.to_string(), "line 7: field `tokens`: holds a string");
}

#[test]
fn words_need_no_tags() {
    assert_eq!(
        words(&record(json!({"tokens": ["a", "b"]}))).unwrap(),
        ["a", "b"]
    );
    let error = words(&record(json!({"text": "a b"}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 7: field `tokens`: is missing; the row has `text`"
    );
}

#[test]
fn every_bad_row_is_counted() {
    let text = "{\"tokens\": [\"a\"], \"tags\": [\"O\"]}\n{\"tokens\": [\"a\"]}\nnonsense\n";
    let error = read_text("a.jsonl", text).unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("2 of 3 rows"));
    assert!(
        lines[1].contains("a.jsonl:2: field `tags`: is missing"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("a.jsonl:3: not valid JSON"),
        "{}",
        lines[2]
    );
}

#[test]
fn labeled_texts_are_refused() {
    let error = read_text("a.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is data for the task `classify`")
    );
    assert_eq!(error.hint().unwrap(), "set the task to `classify`");
}

#[test]
fn an_empty_file_is_an_error() {
    for name in ["a.jsonl", "a.conll", "a"] {
        let error = read_text(name, "").unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }
}
