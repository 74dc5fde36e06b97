//! The metrics against scikit-learn, scipy and seqeval: `metrics_reference.py` wrote the numbers.

use rekindle_train::metrics::{classification, entities, multi_label, regression};
use serde::Serialize;
use serde_json::{Value, json};

/// Both sides compute in f64 and differ in the order of their sums alone; the longest sum of a
/// case has 30 terms. Absolute below 1, relative above.
const TOLERANCE: f64 = 1e-12;

const FIXTURE: &str = include_str!("../fixtures/metrics.json");

/// Checks every case of a kind; `report` computes the Rust side from the input of a case.
fn check<R: Serialize>(kind: &str, at_least: usize, report: impl Fn(&Value) -> R) {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let cases = fixture[kind].as_array().unwrap();
    assert!(cases.len() >= at_least, "{} cases of {kind}", cases.len());
    for (number, case) in cases.iter().enumerate() {
        let found = serde_json::to_value(report(case)).unwrap();
        let path = format!("{kind}[{number}]");
        compare(&path, &case["report"], &found);
    }
}

fn compare(path: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Number(expected), Value::Number(found)) => {
            let (expected, found) = (expected.as_f64().unwrap(), found.as_f64().unwrap());
            let limit = TOLERANCE * expected.abs().max(1.0);
            assert!(
                (expected - found).abs() <= limit,
                "{path}: expected {expected}, found {found}"
            );
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "length of {path}");
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), expected, found);
            }
        }
        (Value::Object(expected), Value::Object(found)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(expected), names(found), "names in {path}");
            for (name, expected) in expected {
                compare(&format!("{path}.{name}"), expected, &found[name]);
            }
        }
        _ => assert_eq!(expected, found, "{path}"),
    }
}

fn list<T>(case: &Value, side: &str, item: impl Fn(&Value) -> T) -> Vec<T> {
    case[side].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn classification_agrees_with_scikit_learn() {
    check("classification", 120, |case| {
        let side = |side| list(case, side, |class| class.as_u64().unwrap() as usize);
        let num_classes = case["num_classes"].as_u64().unwrap() as usize;
        classification(&side("expected"), &side("predicted"), num_classes)
    });
}

#[test]
fn multi_label_agrees_with_scikit_learn() {
    check("multi_label", 80, |case| {
        let flags = |row: &Value| row.as_str().unwrap().chars().map(|c| c == '1').collect();
        let side = |side| list(case, side, flags);
        multi_label(&side("expected"), &side("predicted"))
    });
}

#[test]
fn regression_agrees_with_scikit_learn_and_scipy() {
    check("regression", 120, |case| {
        let side = |side| list(case, side, |number| number.as_f64().unwrap());
        regression(&side("expected"), &side("predicted"))
    });
}

#[test]
fn entities_agree_with_seqeval() {
    check("entities", 180, |case| {
        let tags = |row: &Value| -> Vec<String> {
            let tags = row.as_str().unwrap().split_whitespace();
            tags.map(str::to_owned).collect()
        };
        let side = |side| list(case, side, tags);
        entities(&side("expected"), &side("predicted"))
    });
}

/// Checks a report against numbers worked out by hand.
fn check_by_hand<R: Serialize>(expected: Value, report: R) {
    compare("report", &expected, &serde_json::to_value(report).unwrap());
}

#[test]
fn an_empty_evaluation_scores_zero_and_never_nan() {
    check_by_hand(
        json!({"accuracy": 0, "macro_f1": 0, "micro_f1": 0, "mcc": 0, "classes": [], "confusion": []}),
        classification(&[], &[], 0),
    );
    check_by_hand(
        json!({"micro_f1": 0, "macro_f1": 0, "subset_accuracy": 0, "labels": []}),
        multi_label(&[], &[]),
    );
    check_by_hand(
        json!({"mse": 0, "mae": 0, "pearson": null, "spearman": null}),
        regression(&[], &[]),
    );
    check_by_hand(
        json!({"precision": 0, "recall": 0, "f1": 0, "token_accuracy": 0, "types": {}}),
        entities::<&str, &str>(&[], &[]),
    );
}

#[test]
fn a_number_that_is_not_finite_has_no_correlation() {
    check_by_hand(
        json!({"mse": null, "mae": null, "pearson": null, "spearman": null}),
        regression(&[1.0, 2.0, 3.0], &[1.0, f64::NAN, 3.0]),
    );
}

#[test]
fn a_single_label_is_scored_by_its_flag_alone() {
    let column = |flags: &[bool]| flags.iter().map(|&flag| vec![flag]).collect::<Vec<_>>();
    check_by_hand(
        json!({
            "micro_f1": 0.5, "macro_f1": 0.5, "subset_accuracy": 0.5,
            "labels": [{"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}],
        }),
        multi_label(
            &column(&[true, true, false, false]),
            &column(&[true, false, true, false]),
        ),
    );
}

#[test]
fn an_empty_tag_counts_as_outside() {
    let person = json!({"precision": 1, "recall": 1, "f1": 1, "support": 2});
    check_by_hand(
        json!({
            "precision": 1, "recall": 1, "f1": 1, "token_accuracy": 2.0 / 3.0,
            "types": {"PER": person},
        }),
        entities(
            &[vec!["B-PER", "", "I-PER"]],
            &[vec!["B-PER", "O", "I-PER"]],
        ),
    );
}
