//! The list of runs.

use std::fs;
use std::path::Path;

use crate::support::run_folder::{HOSTILE, append, short_run, step};
use rekindle_dashboard::{RunRecord, State, runs};
use serde_json::{Value, json};
use tempfile::TempDir;

fn run_at(folder: &Path, name: &str, hour: usize, more: &[Value]) {
    let mut lines = short_run(name, &["a", "b"]);
    lines[0]["time"] = json!(format!("2026-11-{:02}T10:00:00Z", 10 + hour));
    lines.extend_from_slice(more);
    append(&folder.join(name), &lines);
}

fn finish(end: &str) -> Value {
    json!({"event": "finish", "steps": 4, "end": end, "best_step": 4, "metric": "accuracy", "best": 0.75,
        "seconds": 125.0, "first_step_seconds": 0.5, "tokens_per_second": 200.0})
}

#[test]
fn runs_are_listed_the_newest_first() {
    let folder = TempDir::new().unwrap();
    run_at(folder.path(), "done", 1, &[finish("completed")]);
    run_at(folder.path(), "early", 2, &[finish("stopped-early")]);
    run_at(folder.path(), "stopped", 3, &[finish("interrupted")]);
    run_at(
        folder.path(),
        "broken",
        4,
        &[json!({"event": "failure", "message": "no"})],
    );
    run_at(folder.path(), "gone", 5, &[step(5), step(6)]);
    run_at(folder.path(), "alive", 6, &[]);
    fs::create_dir(folder.path().join("no run")).unwrap();
    let list = runs::list(folder.path(), |path| path.ends_with("alive")).unwrap();
    let states: Vec<(&str, State)> = list
        .iter()
        .map(|run| (run.name.as_str(), run.state))
        .collect();
    let expected = [
        ("alive", State::Running),
        ("gone", State::Crashed),
        ("broken", State::Failed),
        ("stopped", State::Interrupted),
        ("early", State::StoppedEarly),
        ("done", State::Finished),
    ];
    assert_eq!(states, expected);
    assert_eq!((list[1].steps, list[5].seconds), (6, 125.0));
    insta::assert_snapshot!(runs::table(&list[4..]), @r"
    run    state     task      model     best             steps  duration    started
    early  finished  classify  org/base  accuracy 0.7500  4      2 min 05 s  2026-11-12 10:00 UTC
    done   finished  classify  org/base  accuracy 0.7500  4      2 min 05 s  2026-11-11 10:00 UTC
    ");
}

#[test]
fn a_list_and_a_record_agree() {
    let folder = TempDir::new().unwrap();
    let resume = json!({"time": "2026-11-22T12:00:00Z", "event": "resume", "step": 6});
    let mut late = step(7);
    late["time"] = json!("2026-11-22T12:00:05Z");
    append(&folder.path().join("run"), &short_run("run", &["a"]));
    append(
        &folder.path().join("run"),
        &[step(5), step(6), resume, late],
    );
    let run = &runs::list(folder.path(), |_| false).unwrap()[0];
    // Six seconds before the interruption, five after it; the two hours between do not count.
    assert_eq!((run.steps, run.seconds), (7, 11.0));
    let record = RunRecord::read(&folder.path().join("run"), false).unwrap();
    assert_eq!(
        (record.state(), record.best()),
        (run.state, run.best.clone())
    );
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let folder = TempDir::new().unwrap();
    run_at(folder.path(), "\u{1b}[31mred\u{202e}", 1, &[]);
    let mut start = short_run(HOSTILE[4], &[])[0].clone();
    start["model"] = json!(HOSTILE[5]);
    append(&folder.path().join("plain"), &[start]);
    let table = runs::table(&runs::list(folder.path(), |_| false).unwrap());
    assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table}");
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn a_missing_folder_holds_no_runs_and_links_are_not_followed() {
    let folder = TempDir::new().unwrap();
    assert!(
        runs::list(&folder.path().join("none"), |_| false)
            .unwrap()
            .is_empty()
    );
    #[cfg(unix)]
    {
        let outside = TempDir::new().unwrap();
        run_at(outside.path(), "outside", 1, &[]);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(outside.path().join("outside"), link).unwrap();
        assert!(runs::list(folder.path(), |_| false).unwrap().is_empty());
    }
}

#[test]
fn a_folder_without_a_run_is_refused_with_a_hint() {
    let folder = TempDir::new().unwrap();
    let error = RunRecord::read(folder.path(), false).unwrap_err();
    assert!(error.to_string().starts_with("no run in"), "{error}");
    assert!(error.hint().unwrap().contains("rekindle runs"));
}
