//! Chat templates that write the day.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::decoder::TEMPLATE;
use crate::place::Place;

const RECIPE: &str = "\
[model]
base = \"base\"
[data]
train = [\"train.jsonl\"]
valid_fraction = 0.0
[train]
max_steps = 4
samples = [\"one\"]
[checkpoint]
save_every = 2
[run]
output = \"run\"
backend = \"flex\"
";

const ON_A_DAY: [&str; 4] = ["train", "recipe.toml", "--set", "data.date=2020-02-29"];

/// A place whose model's template begins with the day.
fn place() -> Place {
    let place = Place::new();
    place.llama();
    let template = format!("{{{{ strftime_now('%d %b %Y') }}}} {TEMPLATE}");
    place.set_token("chat_template", json!(template));
    let row = |text: &str| {
        json!({"messages": [
            {"role": "user", "content": text}, {"role": "assistant", "content": text},
        ]})
    };
    place.rows("train.jsonl", &["one", "two", "three"].map(row));
    place.write("recipe.toml", RECIPE);
    place
}

/// The day in the recipe that a run leaves.
fn day(place: &Place) -> String {
    let recipe = place.read("run/recipe.toml");
    let line = recipe.lines().find_map(|line| line.strip_prefix("date = "));
    line.unwrap_or_else(|| panic!("{recipe}")).to_owned()
}

#[test]
fn a_resumed_run_writes_the_day_on_which_it_began() {
    let place = place();
    let called = place.call(&ON_A_DAY).expect_code(0);
    assert!(
        called.err.contains("  29 Feb 2020 <|im_start|>user"),
        "{}",
        called.err
    );
    assert_eq!(day(&place), "\"2020-02-29\"");
    let losses = place.losses("run");
    fs::remove_dir_all(place.path("run/checkpoints/step-000004")).unwrap();
    fs::remove_file(place.path("run/receipt.json")).unwrap();
    // Neither the recipe nor the clock names that day.
    let resumed = place
        .call(&["train", "recipe.toml", "--resume"])
        .expect_code(0);
    assert!(
        resumed.err.contains("  29 Feb 2020 <|im_start|>user"),
        "{}",
        resumed.err
    );
    assert_eq!(place.losses("run"), losses);
    let another = ["--set", "data.date=2021-03-01", "--resume"];
    let refused = place
        .call(&[&ON_A_DAY[..2], &another].concat())
        .expect_code(2);
    let told = "data.date: \"2020-02-29\" in the run, \"2021-03-01\" now";
    assert!(refused.err.contains(told), "{}", refused.err);
}

#[test]
fn a_day_is_of_today_if_none_is_given() {
    let place = place();
    place.call(&["train", "recipe.toml"]).expect_code(0);
    let written: Value = serde_json::from_str(&day(&place)).unwrap();
    let [year, month, date] = written.as_str().unwrap().split('-').collect::<Vec<_>>()[..] else {
        panic!("{written}");
    };
    assert!(year.parse::<u32>().unwrap() > 2025);
    assert!(
        (1..=12).contains(&month.parse().unwrap()) && (1..=31).contains(&date.parse().unwrap())
    );
}

#[test]
fn a_day_that_nothing_writes_is_refused() {
    let place = place();
    place.set_token("chat_template", json!(TEMPLATE));
    assert_snapshot!(place.refusal(&ON_A_DAY), @r"
    error: `data.date` has no effect: this model's chat template writes no day
    hint: remove `data.date`
    ");
    let wrong = ["train", "recipe.toml", "--set", "data.date=tomorrow"];
    assert_snapshot!(place.refusal(&wrong), @r#"
    error: recipe key `data.date` must be a day, such as 2026-11-25: "tomorrow"
    hint: leave it out for the default
    "#);
}
