//! Files of labeled texts, good and bad.

use std::fs;

use rekindle_classification::{example, input, read};
use rekindle_data::{
    DataError, Dataset, Record, RowError, Target, TaskKind, TextExample, TextInput,
};
use serde_json::{Value, json};

fn read_text(
    name: &str,
    text: impl AsRef<[u8]>,
    task: Option<TaskKind>,
) -> Result<Dataset<TextExample>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read(&path, task)
}

fn record(fields: Value) -> Record {
    let Value::Object(fields) = fields else {
        panic!("not an object");
    };
    Record { line: 7, fields }
}

fn target(label: Value, task: TaskKind) -> Result<Target, RowError> {
    let row = record(json!({"text": "a", "label": label}));
    example(&row, task).map(|example| example.target)
}

fn class(name: &str) -> Target {
    Target::Class(name.to_owned())
}

#[test]
fn classes_are_read_alike_from_every_format() {
    let cases = [
        (
            "a.jsonl",
            "{\"text\": \"good, really\", \"label\": \"pos\"}\n{\"text\": \"bad\", \"label\": \"neg\"}\n",
        ),
        (
            "a.json",
            "[{\"text\": \"good, really\", \"label\": \"pos\"}, {\"text\": \"bad\", \"label\": \"neg\"}]",
        ),
        ("a.csv", "text,label\n\"good, really\",pos\nbad,neg\n"),
        ("a.tsv", "label\ttext\r\npos\tgood, really\r\nneg\tbad\r\n"),
        (
            "data",
            "\u{feff}text,label\n\"good, really\",pos\nbad,neg\n",
        ),
    ];
    for (name, text) in cases {
        let data = read_text(name, text, None).unwrap();
        assert_eq!(data.inference.task, TaskKind::Classify);
        assert_eq!(
            data.rows[0].input,
            TextInput::Single("good, really".to_owned())
        );
        let targets: Vec<_> = data.rows.iter().map(|row| row.target.clone()).collect();
        assert_eq!(targets, [class("pos"), class("neg")], "{name}");
        assert_eq!(data.labels().names(), ["neg", "pos"]);
    }
}

#[test]
fn integers_and_booleans_become_the_names_of_classes() {
    assert_eq!(target(json!(3), TaskKind::Classify), Ok(class("3")));
    assert_eq!(target(json!(-1), TaskKind::Classify), Ok(class("-1")));
    assert_eq!(target(json!(true), TaskKind::Classify), Ok(class("true")));
    let text = "{\"text\": \"a\", \"label\": 10}\n{\"text\": \"b\", \"label\": 9}\n";
    let data = read_text("a.jsonl", text, None).unwrap();
    assert_eq!(data.labels().names(), ["9", "10"]);
}

#[test]
fn lists_are_several_classes_and_may_be_empty() {
    let classes = target(json!(["a", 2]), TaskKind::MultiLabel);
    assert_eq!(
        classes,
        Ok(Target::Classes(vec!["a".to_owned(), "2".to_owned()]))
    );
    assert_eq!(
        target(json!([]), TaskKind::MultiLabel),
        Ok(Target::Classes(vec![]))
    );
    let error = target(json!("a"), TaskKind::MultiLabel).unwrap_err();
    assert_eq!(error.to_string(), "line 7: field `label`: holds a string");
    assert_eq!(error.fix, "write a list");
}

#[test]
fn numbers_come_from_label_or_score() {
    for (fields, expected) in [
        (json!({"text": "a", "label": 1}), 1.0),
        (json!({"text": "a", "label": "-2.5"}), -2.5),
        (json!({"text": "a", "score": 0.5}), 0.5),
        (json!({"text": "a", "score": 0.5, "label": "positive"}), 0.5),
        (json!({"text": "a", "score": 0.5, "label": 2}), 2.0),
    ] {
        let found = example(&record(fields), TaskKind::Regress).unwrap().target;
        assert_eq!(found, Target::Number(expected));
    }
    for label in [
        json!("NaN"),
        json!("inf"),
        json!("high"),
        json!([1]),
        json!(null),
    ] {
        assert!(target(label, TaskKind::Regress).is_err());
    }
}

#[test]
fn regression_takes_one_field_for_the_whole_file() {
    let text = "{\"text\": \"a\", \"label\": \"pos\", \"score\": 1.5}\n{\"text\": \"b\", \"label\": \"neg\", \"score\": -1}\n";
    let data = read_text("a.jsonl", text, Some(TaskKind::Regress)).unwrap();
    assert_eq!(data.rows[1].target, Target::Number(-1.0));
    assert_eq!(data.inference.reason, "given; the target is `score`");
    let text = "{\"text\": \"a\", \"label\": 2, \"score\": 1.5}\n{\"text\": \"b\", \"label\": \"x\", \"score\": 1}\n";
    let error = read_text("a.jsonl", text, Some(TaskKind::Regress)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(":2: field `label`: holds no number, unlike in earlier rows")
    );
}

#[test]
fn a_second_text_makes_a_pair() {
    let pair = input(&record(json!({"text": "a", "text_pair": "b"})));
    assert_eq!(pair, Ok(TextInput::Pair("a".to_owned(), "b".to_owned())));
    let single = input(&record(json!({"text": "a", "text_pair": null})));
    assert_eq!(single, Ok(TextInput::Single("a".to_owned())));
    let error = input(&record(json!({"text": "a", "text_pair": " "}))).unwrap_err();
    assert_eq!(error.field.as_deref(), Some("text_pair"));
}

#[test]
fn white_space_is_no_text() {
    for text in ["", " ", "\t\n", "\u{a0}\u{3000}\u{85}"] {
        let error = input(&record(json!({"text": text}))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 7: field `text`: holds no text, only white space or nothing"
        );
    }
}

#[test]
fn other_separators_and_line_breaks_stay_in_the_text() {
    let text = "text,label\n\"a\u{85}b\nc\u{2028}d\",x\n";
    let data = read_text("a.csv", text, None).unwrap();
    assert_eq!(
        data.rows[0].input,
        TextInput::Single("a\u{85}b\nc\u{2028}d".to_owned())
    );
}

#[test]
fn labels_that_are_missing_null_empty_or_of_the_wrong_kind_are_errors() {
    let error = |label| target(label, TaskKind::Classify).unwrap_err().to_string();
    assert_eq!(error(json!(null)), "line 7: field `label`: is null");
    assert_eq!(error(json!("")), "line 7: field `label`: is empty");
    assert_eq!(
        error(json!(1.5)),
        "line 7: field `label`: holds a decimal number"
    );
    assert_eq!(
        error(json!({"a": 1})),
        "line 7: field `label`: holds an object"
    );
    let missing = example(&record(json!({"text": "a"})), TaskKind::Classify).unwrap_err();
    assert_eq!(missing.to_string(), "line 7: field `label`: is missing");
}

#[test]
fn prompt_rows_name_the_fields_that_an_encoder_reads() {
    let text = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    let error = read_text("a.jsonl", text, None).unwrap_err();
    assert_eq!(error.hint().unwrap(), "set the task to `generate`");
    let error = read_text("a.jsonl", text, Some(TaskKind::Classify)).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("`text`") && hint.contains("`label`"),
        "{hint}"
    );
    let error = input(&record(json!({"prompt": "a", "completion": "b"}))).unwrap_err();
    assert!(error.message.contains("`prompt`, `completion`"));
    assert!(error.fix.contains("`text`") && error.fix.contains("`label`"));
}

#[test]
fn tagged_sentences_are_refused() {
    for task in [None, Some(TaskKind::Tag)] {
        let error = read_text("a.conll", "a O\n", task).unwrap_err();
        assert!(matches!(
            error,
            DataError::OtherTask {
                found: TaskKind::Tag,
                ..
            }
        ));
    }
}

#[test]
fn all_bad_rows_are_counted_and_the_first_ten_shown() {
    let mut text = "{\"text\": \"good\", \"label\": \"a\"}\n".repeat(20);
    text.push_str(&"{\"text\": \"\", \"label\": \"a\"}\n".repeat(11));
    text.push_str("{\"text\": \"a\"\n");
    let error = read_text("train.jsonl", text, None).unwrap_err();
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("12 of 32 rows in `"), "{}", lines[0]);
    assert!(lines[1].contains("train.jsonl:21: field `text`: holds no text"));
    assert!(lines[1].ends_with("(write a text or remove the row)"));
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[11], "and 2 more");
}

#[test]
fn an_empty_file_is_an_error() {
    for (name, text) in [
        ("a.jsonl", ""),
        ("a.jsonl", "\n\n"),
        ("a.csv", "text,label\n"),
        ("a", ""),
    ] {
        let error = read_text(name, text, None).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }
}

#[test]
fn a_label_in_valid_that_train_lacks_is_named_with_its_line() {
    let train = read_text("train.csv", "text,label\na,x\nb,y\n", None).unwrap();
    let valid = read_text("valid.csv", "text,label\na,x\nb,z\n", None).unwrap();
    let error = valid.check_labels(&train.labels()).unwrap_err();
    assert!(
        error.to_string().ends_with("does not know: `z` (line 3)"),
        "{error}"
    );
}
