//! Logs as they come: torn, resumed, of other versions.

use serde_json::json;

use super::*;

fn folded(lines: &[serde_json::Value]) -> RunRecord {
    let mut record = RunRecord::new("run", "");
    for line in lines {
        record.push_lines(format!("{line}\n").as_bytes());
    }
    record
}

fn step(step: usize) -> serde_json::Value {
    json!({"event": "step", "step": step, "loss": 1.0})
}

fn evaluation(step: usize, is_best: bool) -> serde_json::Value {
    json!({"event": "evaluation", "step": step, "is_best": is_best, "valid_loss": 0.5,
        "metrics": {"accuracy": 0.25, "mcc": 0.1}, "details": {"labels": ["a"]}})
}

#[test]
fn a_torn_last_line_and_unknown_events_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let log = "{\"event\":\"step\",\"step\":1}\n\n{\"event\":\"weather\",\"sun\":true}\n{\"event\":\"step\",\"st";
    fs::write(folder.path().join(EVENTS), log).unwrap();
    let record = RunRecord::read(folder.path(), false).unwrap();
    assert_eq!((record.steps.len(), record.unreadable), (1, 0));
    assert_eq!(record.state(), State::Crashed);
}

#[test]
fn unreadable_lines_are_counted() {
    let mut record = folded(&[step(1)]);
    record.push_lines(b"{\"event\":\"st{\"event\":\"step\"}\n\xff\xfe\nnull\n{\"event\":\"step\",\"step\":\"x\"}\n");
    assert_eq!((record.steps.len(), record.unreadable), (1, 4));
    assert!(crate::report::render(&record).contains("4 lines of the log could not be read"));
}

#[test]
fn numbers_that_are_not_finite_leave_a_gap() {
    let record = folded(&[json!({"event": "step", "step": 1, "loss": null, "grad_norm": 2.0})]);
    assert_eq!(
        (record.steps[0].loss, record.steps[0].grad_norm),
        (None, Some(2.0))
    );
}

#[test]
fn the_state_follows_from_the_last_word() {
    let finish = |end: &str| json!({"event": "finish", "steps": 1, "end": end});
    let failure = json!({"event": "failure", "message": "no memory"});
    let resume = json!({"event": "resume", "step": 1});
    let state = |lines: &[_]| folded(lines).state();
    assert_eq!(state(&[finish("completed")]), State::Finished);
    assert_eq!(state(&[finish("stopped-early")]), State::StoppedEarly);
    assert_eq!(state(&[finish("interrupted")]), State::Interrupted);
    assert_eq!(
        state(&[json!({"event": "finish", "is_interrupted": true})]),
        State::Interrupted
    );
    assert_eq!(
        state(&[json!({"event": "finish", "is_interrupted": false})]),
        State::Finished
    );
    assert_eq!(state(std::slice::from_ref(&failure)), State::Failed);
    assert_eq!(
        state(&[finish("interrupted"), resume.clone()]),
        State::Crashed
    );
    let mut held = folded(&[failure, resume]);
    held.is_held = true;
    assert_eq!(held.state(), State::Running);
    assert_eq!(State::StoppedEarly.to_string(), "finished");
}

#[test]
fn the_time_left_follows_from_the_time_taken() {
    let at = |second: usize, event: &str, step: usize| json!({"time": format!("2026-11-22T10:00:{second:02}Z"), "event": event, "step": step, "steps": 10});
    let mut record = folded(&[at(0, "start", 0), at(5, "step", 1), at(8, "step", 2)]);
    assert_eq!(record.seconds_left(), None);
    record.is_held = true;
    assert_eq!(record.seconds_left(), Some(32.0));
}

#[test]
fn no_step_stands_twice() {
    let resumed = folded(&[
        step(1),
        step(2),
        step(3),
        json!({"event": "resume", "step": 1}),
        step(2),
    ]);
    let numbers = |record: &RunRecord| record.steps.iter().map(|s| s.step).collect::<Vec<_>>();
    assert_eq!(numbers(&resumed), [1, 2]);
    assert_eq!(
        numbers(&folded(&[step(1), step(2), step(2), step(3)])),
        [1, 2, 3]
    );
}

#[test]
fn the_chosen_number_is_that_of_the_best_evaluation() {
    let start = |metric| json!({"event": "start", "metric": metric});
    let scores = [evaluation(1, true), evaluation(2, false)];
    let best = |lines: Vec<_>| folded(&lines).best().unwrap();
    let chosen = best([vec![start(Some("loss"))], scores.to_vec()].concat());
    assert_eq!(
        (chosen.metric.as_str(), chosen.value, chosen.step),
        ("loss", 0.5, 1)
    );
    let last = best(vec![
        start(None),
        evaluation(1, false),
        evaluation(2, false),
    ]);
    assert_eq!(
        (last.metric.as_str(), last.step, last.is_chosen),
        ("accuracy", 2, false)
    );
    assert!(folded(&[step(1)]).best().is_none());
}

#[test]
fn tables_are_kept_of_the_best_and_the_last_evaluation() {
    let flags = [true, true, false, false];
    let lines: Vec<_> = flags
        .iter()
        .enumerate()
        .map(|(index, best)| evaluation(index, *best))
        .collect();
    let kept: Vec<bool> = folded(&lines)
        .evaluations
        .iter()
        .map(|e| !e.details.is_empty())
        .collect();
    assert_eq!(kept, [false, true, false, true]);
}

#[test]
fn a_skipped_step_is_a_warning_and_a_gap() {
    let record = folded(&[
        json!({"event": "skip", "step": 1, "what": "loss", "value": "NaN", "rows": [3, 7]}),
    ]);
    assert_eq!(
        record.warnings,
        ["step 1 left out, the loss is NaN: rows 3, 7"]
    );
    assert_eq!((record.steps_taken(), record.steps[0].loss), (1, None));
}

#[test]
fn events_and_lines_tell_the_same() {
    let message = "rows occur twice".to_owned();
    let mut record = RunRecord::new("run", "[train]\nseed = 1\nlist = [1, 2]");
    record.push(&Event::Warning {
        message: message.clone(),
    });
    assert_eq!(record.warnings, [message]);
    assert!(record.started.is_some());
    let values = record.recipe_values();
    assert_eq!(
        (values["train.seed"].as_str(), values["train.list"].as_str()),
        ("1", "[1, 2]")
    );
}

#[test]
fn the_answers_of_the_newest_evaluation_are_shown() {
    let sample = |step: usize, completion: &str| json!({"event": "sample", "step": step, "prompt": "<b>2 + 2 =", "completion": completion});
    let record = folded(&[sample(1, " 5"), sample(2, " four"), sample(2, " 4")]);
    let page = crate::report::render(&record);
    assert!(page.contains("Samples after step 2"), "{page}");
    assert!(page.contains("&lt;b&gt;2 + 2 ="), "{page}");
    assert!(
        page.contains(" four") && page.contains(" 4<") && !page.contains(" 5<"),
        "{page}"
    );
}
