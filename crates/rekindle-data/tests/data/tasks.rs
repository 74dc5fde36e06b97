//! The task that rows tell, and what is said when they tell none.

use rekindle_data::{DataError, Format, Inference, Source, TaskKind, infer_task};

fn source(text: &'static str, format: Format) -> Source {
    Source::from_text("rows", text, format).unwrap()
}

fn infer(text: &'static str) -> Result<Inference, DataError> {
    infer_task(&source(text, Format::Jsonl))
}

fn task(text: &'static str, format: Format) -> TaskKind {
    infer_task(&source(text, format)).unwrap().task
}

#[test]
fn the_label_tells_the_task() {
    for (text, expected, reason) in [
        (
            "{\"label\": \"a\"}",
            TaskKind::Classify,
            "rows have a string in `label`",
        ),
        (
            "{\"label\": 3}",
            TaskKind::Classify,
            "rows have an integer in `label`",
        ),
        (
            "{\"label\": [\"a\"]}\n{\"label\": []}",
            TaskKind::MultiLabel,
            "rows have a list in `label`",
        ),
        (
            "{\"label\": 1}\n{\"label\": 0.5}",
            TaskKind::Regress,
            "rows have a decimal number in `label`",
        ),
        (
            "{\"score\": 1}",
            TaskKind::Regress,
            "rows have a number in `score`",
        ),
        (
            "{\"tokens\": [\"a\"], \"tags\": [\"O\"]}",
            TaskKind::Tag,
            "rows have `tokens` and `tags`",
        ),
    ] {
        let found = infer(text).unwrap();
        assert_eq!(
            (found.task, found.reason.as_str()),
            (expected, reason),
            "{text}"
        );
    }
}

#[test]
fn a_label_beats_a_score_and_the_reason_says_so() {
    let found = infer("{\"label\": \"a\", \"score\": 0.5}").unwrap();
    assert_eq!(found.task, TaskKind::Classify);
    assert_eq!(
        found.reason,
        "rows have a string in `label`; `score` is not used"
    );
    let found = infer("{\"label\": null, \"score\": 0.5}\n{\"label\": 2, \"score\": 1}").unwrap();
    assert_eq!(found.task, TaskKind::Classify);
}

#[test]
fn delimited_labels_are_numbers_only_if_all_are_and_one_has_a_point() {
    assert_eq!(
        task("text,label\na,1\nb,2.5\n", Format::Csv),
        TaskKind::Regress
    );
    assert_eq!(
        task("text,label\na,1\nb,2\n", Format::Csv),
        TaskKind::Classify
    );
    assert_eq!(
        task("text,label\na,1.5\nb,good\n", Format::Csv),
        TaskKind::Classify
    );
    assert_eq!(task("text\tscore\na\t1\n", Format::Tsv), TaskKind::Regress);
    assert_eq!(
        task("{\"label\": \"1.5\"}", Format::Jsonl),
        TaskKind::Classify
    );
}

#[test]
fn columns_are_for_tagging() {
    assert_eq!(task("a O\n", Format::Conll), TaskKind::Tag);
}

#[test]
fn mixed_rows_name_the_first_line_of_each_kind() {
    let error = infer("{\"label\": \"a\"}\n{\"label\": \"b\"}\n{\"label\": [\"a\"]}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`rows` mixes tasks: line 1 holds a string in `label`, line 3 holds a list in `label`"
    );
    assert!(infer("{\"label\": \"a\"}\n{\"label\": 1}").is_err());
    assert!(infer("{\"label\": \"a\"}\n{\"tokens\": [], \"tags\": []}").is_err());
}

#[test]
fn prompts_chats_and_bare_texts_are_for_generation() {
    for (text, reason) in [
        (
            r#"{"prompt": "a", "completion": "b"}"#,
            "rows have prompts and completions",
        ),
        (
            r#"{"instruction": "a", "input": "", "output": "b", "score": 0.5}"#,
            "rows have prompts and completions; `score` is not used",
        ),
        (r#"{"messages": []}"#, "rows have messages"),
        (
            r#"{"conversations": [], "text": "a"}"#,
            "rows have messages",
        ),
        (r#"{"text": "a"}"#, "rows have a `text` alone"),
    ] {
        let found = infer(text).unwrap();
        assert_eq!(
            (found.task, found.reason.as_str()),
            (TaskKind::Generate, reason),
            "{text}"
        );
    }
    assert_eq!(
        task("Prose, all of it.\n", Format::Text),
        TaskKind::Generate
    );
    assert_eq!(
        task("prompt,completion\na,b\n", Format::Csv),
        TaskKind::Generate
    );
}

#[test]
fn a_text_with_a_label_is_to_be_classified() {
    for text in [
        r#"{"text": "a", "label": "b", "messages": []}"#,
        "{\"text\": \"a\"}\n{\"text\": \"a\", \"label\": \"b\"}",
    ] {
        assert_eq!(infer(text).unwrap().task, TaskKind::Classify, "{text}");
    }
}

#[test]
fn prompts_are_no_data_for_an_encoder_and_the_hint_names_its_fields() {
    for text in [
        r#"{"prompt": "a", "completion": "b"}"#,
        r#"{"messages": []}"#,
        r#"{"text": "a"}"#,
    ] {
        let rows = source(text, Format::Jsonl);
        let error = rows.task(Some(TaskKind::Classify)).unwrap_err();
        assert!(matches!(error, DataError::NoTarget { .. }));
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("`text`") && hint.contains("`label`"),
            "{hint}"
        );
        assert!(rows.task(Some(TaskKind::Generate)).is_ok());
    }
}

#[test]
fn rows_without_a_target_name_their_fields() {
    let error = infer("{\"sentence\": \"a\", \"class\": 1}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no row of `rows` has a label; the first row holds: `sentence`, `class`"
    );
}

#[test]
fn unreadable_rows_come_before_the_question_of_the_task() {
    let error = infer("{\n{").unwrap_err();
    assert!(matches!(
        error,
        DataError::BadRows {
            bad: 2,
            total: 2,
            ..
        }
    ));
}

#[test]
fn an_empty_file_is_an_error() {
    let error = Source::from_text("rows", "\n", Format::Jsonl).unwrap_err();
    assert_eq!(error.to_string(), "`rows` holds no rows");
}

#[test]
fn task_names_read_back() {
    for task in TaskKind::ALL {
        assert_eq!(task.to_string().parse(), Ok(task));
        assert_eq!(serde_json::to_value(task).unwrap(), task.to_string());
    }
    let error = "tagging".parse::<TaskKind>().unwrap_err();
    assert_eq!(error.to_string(), "task `tagging` is not known");
    assert!(error.hint().unwrap().contains("`multi-label`"));
}
