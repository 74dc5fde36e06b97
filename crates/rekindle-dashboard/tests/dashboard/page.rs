//! The page of a run and the comparison of runs, as text.

use std::fs;

use crate::support::run_folder::{HOSTILE, append, short_run};
use rekindle_dashboard::{Report, RunRecord, Sink, State, compare, report};
use rekindle_train::events::{Event, Events};
use serde_json::{Value, json};
use tempfile::TempDir;

fn record(name: &str, labels: &[&str], more: &[Value]) -> RunRecord {
    let folder = TempDir::new().unwrap();
    let mut lines = short_run(name, labels);
    lines.extend_from_slice(more);
    append(folder.path(), &lines);
    RunRecord::read(folder.path(), false).unwrap()
}

/// The data that the page's script reads.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"page-data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn hostile_texts_stay_texts() {
    for hostile in HOSTILE {
        let warning = json!({"event": "warning", "message": hostile});
        let failure = json!({"event": "failure", "message": hostile});
        let runs = [
            record(hostile, &HOSTILE, &[warning, failure]),
            record("b", &["x"], &[]),
        ];
        for page in [report::render(&runs[0]), compare::render(&runs)] {
            assert_eq!(page.matches("<script").count(), 2, "{hostile}");
            assert_eq!(page.matches("</script").count(), 2, "{hostile}");
            assert!(
                !page.contains("<img") && !page.contains("<!--"),
                "{hostile}"
            );
            assert!(data(&page)["charts"].is_array());
        }
        let table = compare::table(&runs);
        assert!(
            !table.contains(['\u{1b}', '\u{202e}', '\u{2028}']),
            "{table}"
        );
    }
}

#[test]
fn the_page_has_all_parts() {
    let page = report::render(&record("reviews", &["good", "bad"], &[]));
    for text in [
        "reviews",
        "crashed",
        "0.7500",
        "best, at step 4",
        "Epochs",
        "Confusion matrix",
        "Scores by class",
        "Recipe",
        "seed = 42",
        "Environment",
        "4.1 kB",
        "Content-Security-Policy",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let data = data(&page);
    let ids: Vec<&str> = data["charts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chart| chart["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "loss",
            "epochs",
            "metric-accuracy",
            "rate",
            "norm",
            "speed",
            "memory"
        ]
    );
    assert_eq!(
        data["charts"][0]["series"][0]["points"][1],
        json!([2, 1.0, 1.0])
    );
}

#[test]
fn tables_of_another_shape_are_passed_over() {
    let odd = json!({"event": "evaluation", "step": 9, "is_best": true,
        "details": {"labels": ["a", 7], "classes": "none", "confusion": [[1], "x"]}});
    let page = report::render(&record("odd", &["a"], &[odd]));
    assert!(!page.contains("Confusion matrix"));
    assert!(page.contains("Scores by class"));
}

#[test]
fn many_classes_are_told_by_their_confusions() {
    let names: Vec<String> = (0..40).map(|index| format!("class {index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = report::render(&record("many", &names, &[]));
    assert!(page.contains("The most frequent confusions") && !page.contains("Confusion matrix"));
}

#[test]
fn a_comparison_tells_where_recipes_differ() {
    let folder = TempDir::new().unwrap();
    let runs = [("a", "0.00005"), ("b", "0.0001")].map(|(name, rate)| {
        let path = folder.path().join(name);
        append(&path, &short_run(name, &["x", "y"]));
        let recipe = format!("[train]\nlearning_rate = {rate}\nseed = 1\n");
        fs::write(path.join("recipe.toml"), recipe).unwrap();
        RunRecord::read(&path, false).unwrap()
    });
    insta::assert_snapshot!(compare::table(&runs), @r"
    run  state    best             at step  train loss  valid loss  steps  duration
    a    crashed  accuracy 0.7500  4        0.5000      0.6250      4      4.0 s
    b    crashed  accuracy 0.7500  4        0.5000      0.6250      4      4.0 s

    recipe               a        b
    train.learning_rate  0.00005  0.0001
    ");
    let page = compare::render(&runs);
    assert!(page.contains("train.learning_rate") && !page.contains("train.seed"));
    assert_eq!(
        data(&page)["charts"][0]["series"].as_array().unwrap().len(),
        2
    );
    assert!(
        compare::table(&[runs[0].clone(), runs[0].clone()]).contains("the recipes are the same")
    );
}

fn evaluation(step: usize) -> Event {
    let value = json!({"event": "evaluation", "step": step, "epoch": 1.0, "train_loss": 0.5, "valid_loss": 0.5,
        "metrics": {}, "is_best": true, "seconds": 1.0, "tokens_per_second": 1.0});
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_report_is_written_at_evaluations_and_failures_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("report.html");
    let mut sink = Report::new(RunRecord::new("run", ""), &path);
    sink.emit(Event::Warning {
        message: "early".into(),
    });
    assert!(!path.exists());
    sink.emit(evaluation(1));
    assert!(fs::read_to_string(&path).unwrap().contains("running"));
    sink.emit(Event::Failure {
        message: "no memory".into(),
    });
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("no memory") && page.contains("early"));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left aside"
    );
}

#[test]
fn a_report_that_could_not_be_written_is_tried_again() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("later");
    let mut sink = Report::new(RunRecord::new("run", ""), place.join("report.html"));
    sink.emit(evaluation(1));
    assert!(sink.failure().is_some());
    fs::create_dir(&place).unwrap();
    sink.emit(evaluation(2));
    assert!(sink.failure().is_none());
    assert!(place.join("report.html").is_file());
}

#[test]
fn a_resumed_report_knows_what_came_before() {
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run("run", &["a"]));
    let before = RunRecord::read(folder.path(), true).unwrap();
    assert_eq!(before.state(), State::Running);
    let path = folder.path().join("report.html");
    Report::new(before, &path).emit(evaluation(5));
    let page = fs::read_to_string(path).unwrap();
    let loss = &data(&page)["charts"][0]["series"];
    assert_eq!(loss[0]["points"].as_array().unwrap().len(), 4);
    assert_eq!(loss[2]["points"].as_array().unwrap().len(), 3);
}
