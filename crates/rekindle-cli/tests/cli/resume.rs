//! Runs that were killed, stopped, damaged or whose device failed, and how they go on.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::place::{Place, spawn, text};

/// Much of what a run can do, in twenty steps: accumulation, dropout, evaluations and checkpoints out of
/// step with epochs and with each other.
const RECIPE: &str = r#"
[model]
base = "base"
dropout = 0.1
[data]
train = ["train.jsonl"]
[train]
epochs = 4
batch_size = 2
accumulate = 2
learning_rate = 1e-3
schedule = "cosine"
evaluate_every = 3
[checkpoint]
save_every = 4
metric = "loss"
[run]
output = "run"
backend = "flex"
"#;

const GO_ON: [&str; 3] = ["train", "run", "--resume"];

fn place() -> Place {
    let place = Place::with_reviews();
    place.write("recipe.toml", RECIPE);
    place
}

/// Trains until `steps` are told, then sends a signal; returns what was told on standard error.
fn stopped_after(
    place: &Place,
    arguments: &[&str],
    steps: usize,
    signal: &str,
    code: i32,
) -> String {
    let mut child = spawn(place, arguments);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut told = 0;
    for event in events {
        told += usize::from(event["event"] == "step");
        if event["event"] == "step" && told == steps {
            let pid = child.id().to_string();
            let kill = std::process::Command::new("kill")
                .args([signal, &pid])
                .status();
            assert!(kill.unwrap().success());
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(code));
    text(child.stderr.take().unwrap())
}

/// What a run logged of its steps and evaluations, without times.
fn log(place: &Place, run: &str) -> Vec<Value> {
    let mut events = place.objects(&format!("{run}/events.jsonl"));
    events.retain(|event| {
        ["step", "evaluation", "epoch"].contains(&event["event"].as_str().unwrap())
    });
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        for key in ["time", "seconds", "tokens_per_second", "memory_bytes"] {
            event.shift_remove(key);
        }
    }
    events
}

fn assert_equal_runs(place: &Place, found: &str, expected: &str) {
    assert_eq!(log(place, found), log(place, expected));
    let table = |run: &str| -> Vec<String> {
        let text = place.read(&format!("{run}/metrics.csv"));
        let lines = text.lines().map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(8);
            cells.join(",")
        });
        lines.collect()
    };
    assert_eq!(table(found), table(expected));
    let weights =
        |run: &str| fs::read(place.path(&format!("{run}/model/model.safetensors"))).unwrap();
    assert!(weights(found) == weights(expected), "the weights differ");
    let record = |run: &str| {
        let text = place.read(&format!("{run}/receipt.json"));
        let mut receipt: Value = serde_json::from_str(&text).unwrap();
        let finish = receipt["finish"].as_object_mut().unwrap();
        finish.retain(|key, _| ["steps", "end", "best_step", "best"].contains(&key.as_str()));
        receipt
    };
    assert_eq!(record(found), record(expected));
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_to_the_same() {
    let place = place();
    // Long enough that no kill comes too late on a busy machine.
    place.write("long.toml", &RECIPE.replace("epochs = 4", "epochs = 20"));
    let called = place.call(&["doctor", "--verify-resume", "long.toml", "--kills", "3"]);
    let called = called.expect_code(0);
    // How many more hit it before its first checkpoint was whole is left to chance.
    let told = called.out.strip_prefix("killed 3 times: ").unwrap();
    let (before, _) = told.split_once(" before the first checkpoint").unwrap();
    assert!(before.parse::<usize>().unwrap() >= 1, "{}", called.out);
    assert!(
        called
            .out
            .contains("100 steps and the final weights are identical"),
        "{}",
        called.out
    );
}

#[cfg(unix)]
#[test]
fn a_stopped_run_goes_on_as_if_nothing_had_happened() {
    let place = place();
    place
        .call(&["train", "recipe.toml", "--output", "whole"])
        .expect_code(0);
    let json = ["train", "recipe.toml", "--dashboard", "json"];
    let told = stopped_after(&place, &json, 2, "-TERM", 130);
    assert!(told.contains("stopping after this step"), "{told}");
    assert!(
        told.contains("go on: rekindle train run --resume"),
        "{told}"
    );
    assert_eq!(place.event("run", "finish")["end"], "interrupted");
    let json = [&GO_ON[..], &["--dashboard", "json"]].concat();
    stopped_after(&place, &json, 6, "-INT", 130);
    let called = place.call(&GO_ON).expect_code(0);
    assert!(called.err.contains("going on after step"), "{}", called.err);
    assert!(called.err.contains("step 20/20  loss"), "{}", called.err);
    assert_equal_runs(&place, "run", "whole");
    assert_eq!(place.event("run", "finish")["end"], "completed");
    let called = place.call(&GO_ON).expect_code(0);
    assert!(
        called
            .err
            .contains("the run in run is finished after 20 steps: there is nothing to resume"),
        "{}",
        called.err
    );
}

#[test]
fn another_recipe_or_other_data_are_refused_with_the_difference() {
    let place = place();
    place.call(&["train", "recipe.toml"]).expect_code(0);
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    let called = place.call(&[&GO_ON[..], &["--epochs", "9", "--seed", "7"]].concat());
    let called = called.expect_code(2);
    insta::assert_snapshot!(called.err.trim(), @r"
    error: the run in `run` has another recipe
      train.epochs: 4 in the run, 9 now
      train.seed: 42 in the run, 7 now
    hint: `rekindle train run --resume` goes on as it was; another `--output` begins a new run
    ");
    let mut rows = place.read("train.jsonl");
    rows += "\n{\"text\": \"the film was good\", \"label\": \"good\"}";
    place.write("train.jsonl", &rows);
    let called = place.call(&GO_ON).expect_code(2);
    let error = &called.err[called.err.find("error: ").unwrap()..];
    assert!(
        error.starts_with(
            "error: the run in `run` was made from other files\n  train.jsonl: sha256 "
        ),
        "{error}"
    );
    assert!(error.contains(" in the run, sha256 "), "{error}");
    assert_eq!(place.losses("run").len(), 20, "nothing was touched");
}

#[test]
fn a_damaged_checkpoint_is_named_and_passed_over() {
    let place = place();
    place.call(&["train", "recipe.toml"]).expect_code(0);
    place
        .call(&["train", "recipe.toml", "--output", "whole"])
        .expect_code(0);
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    let file = place.path("run/checkpoints/step-000020/weights.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let called = place.call(&GO_ON).expect_code(0);
    assert!(
        called
            .err
            .contains("warning: checkpoint `step-000020` is damaged and passed over"),
        "{}",
        called.err
    );
    assert_equal_runs(&place, "run", "whole");
}

#[test]
fn without_a_checkpoint_a_run_starts_over() {
    let place = place();
    place
        .call(&["train", "recipe.toml", "--output", "whole"])
        .expect_code(0);
    place
        .call(&["train", "recipe.toml", "--resume"])
        .expect_code(0);
    assert_equal_runs(&place, "run", "whole");
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    place.call(&GO_ON).expect_code(0);
    assert_equal_runs(&place, "run", "whole");
}

#[test]
fn a_named_output_is_the_run_that_is_meant() {
    let place = place();
    place.call(&["train", "recipe.toml"]).expect_code(0);
    let before = place.read("run/events.jsonl");
    let elsewhere = [
        "train",
        "run/recipe.toml",
        "--resume",
        "--output",
        "elsewhere",
    ];
    place.call(&elsewhere).expect_code(0);
    assert_eq!(place.read("run/events.jsonl"), before);
    assert_equal_runs(&place, "elsewhere", "run");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = place();
    fs::create_dir_all(place.path("mine/model")).unwrap();
    place.write("mine/model/config.json", "{}");
    place.write("mine/model/notes.txt", "keep me");
    let arguments = ["train", "recipe.toml", "--resume", "--output", "mine"];
    let refusal = place.refusal(&arguments);
    assert!(refusal.contains("`mine` is not empty"), "{refusal}");
    assert_eq!(place.read("mine/model/notes.txt"), "keep me");
}

#[test]
fn a_run_that_was_killed_before_it_wrote_anything_begins_anew() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    place.write("run/run.lock", "123\n");
    place.call(&["train", "recipe.toml"]).expect_code(0);
    assert_eq!(place.losses("run").len(), 20);
}

#[test]
fn whatever_checkpoint_a_run_goes_on_from_its_best_one_is_there() {
    let place = place();
    let arguments = [
        "--set",
        "checkpoint.save_every=2",
        "--set",
        "train.evaluate_every=6",
    ];
    place
        .call(&[&["train", "recipe.toml"][..], &arguments].concat())
        .expect_code(0);
    let folders = fs::read_dir(place.path("run/checkpoints")).unwrap();
    let names = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    for name in names.iter().rev().take(2) {
        let text = place.read(&format!("run/checkpoints/{name}/state.json"));
        let state: Value = serde_json::from_str(&text).unwrap();
        let best = state["progress"]["best"]["step"].as_u64().unwrap();
        assert!(
            names.contains(&format!("step-{best:06}")),
            "{best} of {name} in {names:?}"
        );
    }
}

#[test]
fn what_fails_after_the_last_step_is_no_wrong_usage() {
    let place = place();
    place.call(&["train", "recipe.toml"]).expect_code(0);
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    fs::create_dir(place.path("run/receipt.json")).unwrap();
    let called = place.call(&GO_ON).expect_code(1);
    let error = "error: cannot write `run/receipt.json`";
    assert!(called.err.contains(error), "{}", called.err);
}

#[test]
fn it_must_be_clear_which_run_goes_on() {
    let place = place();
    let output = "run.output=runs/{date}-{model}";
    let refusal = place.refusal(&["train", "recipe.toml", "--resume", "--set", output]);
    insta::assert_snapshot!(refusal.trim(), @r"
    error: `--resume` needs a run: the recipe's output `runs/{date}-{model}` names none
    hint: `rekindle train runs/NAME --resume`
    ");
}

#[cfg(unix)]
#[test]
fn two_processes_on_one_run_are_one_too_many() {
    let place = place();
    let arguments = [
        "train",
        "recipe.toml",
        "--dashboard",
        "json",
        "--max-steps",
        "1000000",
    ];
    let mut child = spawn(&place, &arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("\"step\"") {}
    let drain = std::thread::spawn(move || lines.for_each(drop));
    let called = place
        .call(&[&GO_ON[..], &["--max-steps", "1000000"]].concat())
        .expect_code(2);
    let listed = place.call(&["runs", "--folder", "."]).expect_code(0);
    child.kill().unwrap();
    child.wait().unwrap();
    drain.join().unwrap();
    let pid = child.id().to_string();
    assert!(
        called.err.contains(&pid),
        "the process is named: {}",
        called.err
    );
    assert!(listed.out.contains("running"), "{}", listed.out);
    let listed = place.call(&["runs", "--folder", "."]).expect_code(0);
    assert!(listed.out.contains("crashed"), "{}", listed.out);
}

/// Trains with an injected fault.
fn with_fault(place: &Place, fault: &str, arguments: &[&str], code: i32) -> String {
    let mut command = place.program();
    command.env("REKINDLE_FAULT", fault).args(arguments);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

#[test]
fn a_device_without_room_gets_fewer_rows_at_a_time() {
    let place = place();
    place
        .call(&[
            "train",
            "recipe.toml",
            "--output",
            "whole",
            "--batch-size",
            "8",
        ])
        .expect_code(0);
    let arguments = ["train", "recipe.toml", "--batch-size", "8"];
    let told = with_fault(&place, "out-of-memory:3", &arguments, 0);
    assert!(
        told.contains("ran out of memory with 8 rows a forward pass"),
        "{told}"
    );
    assert!(
        told.contains("ran out of memory with 4 rows a forward pass"),
        "{told}"
    );
    let split = place.event("run", "split");
    assert_eq!(
        (&split["batch_size"], &split["accumulate"]),
        (&json!(2), &json!(8))
    );
    let counts = |run: &str| -> Vec<Value> {
        let steps = log(&place, run)
            .into_iter()
            .filter(|event| event["event"] == "step");
        steps
            .map(|step| json!([step["step"], step["examples"], step["tokens"]]))
            .collect()
    };
    assert_eq!(
        counts("run"),
        counts("whole"),
        "the same rows in the same steps"
    );
}

#[test]
fn a_device_that_fails_twice_ends_the_run() {
    let place = place();
    let told = with_fault(&place, "device:10", &["train", "recipe.toml"], 1);
    assert!(
        told.contains("the device failed: training goes on from the last checkpoint"),
        "{told}"
    );
    let end = &told[told.rfind("error: ").unwrap()..];
    insta::assert_snapshot!(end.trim(), @r"
    error: the device failed: device lost (REKINDLE_FAULT)
    hint: go on from the last checkpoint: `rekindle train run --resume`
    ");
    // Five steps of two passes, the checkpoint of step 4, and as far again.
    assert_eq!(
        place.event("run", "failure")["message"],
        "the device failed: device lost (REKINDLE_FAULT)"
    );
    let told = place.call(&["runs", "show", "run"]).expect_code(0).out;
    assert!(
        told.contains("failed: the device failed: device lost"),
        "{told}"
    );
    let checkpoints = fs::read_dir(place.path("run/checkpoints")).unwrap().count();
    assert!(checkpoints > 0, "the last good checkpoint is kept");
    place
        .call(&["train", "recipe.toml", "--output", "whole"])
        .expect_code(0);
    place.call(&GO_ON).expect_code(0);
    assert_equal_runs(&place, "run", "whole");
}
