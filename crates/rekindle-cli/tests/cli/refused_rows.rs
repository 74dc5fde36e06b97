//! What prompts, chats and settings that a language model cannot learn from get: exit code 2, nothing written.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::decoder::POSITIONS;
use crate::place::{Place, reviews};

const TRAIN: [&str; 4] = ["--model", "base", "--data", "train.jsonl"];

fn with_rows(rows: &[Value]) -> Place {
    let place = Place::new();
    place.llama();
    place.rows("train.jsonl", rows);
    place
}

fn refusal(rows: &[Value], flags: &[&str]) -> String {
    with_rows(rows).refused_training(&[&TRAIN[..], flags].concat())
}

fn pair(completion: &str) -> Value {
    json!({"prompt": "say it:", "completion": completion})
}

fn chat(messages: &[(&str, &str)]) -> Value {
    let message = |(role, content): &(&str, &str)| json!({"role": role, "content": content});
    json!({"messages": messages.iter().map(message).collect::<Vec<_>>()})
}

#[test]
fn chats_without_what_a_chat_needs() {
    let rows = [
        chat(&[("user", "a"), ("assistant", "b")]),
        chat(&[("user", "a"), ("assistant", "b"), ("user", "c")]),
        chat(&[("human", "a"), ("assistant", "b")]),
        json!({"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}),
        chat(&[("user", "a"), ("assistant", "")]),
        json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "weight": 0},
        ]}),
    ];
    assert_snapshot!(refusal(&rows, &[]), @"");
}

#[test]
fn prompts_without_a_completion() {
    let rows = [pair(" it"), pair(""), json!({"prompt": "say it:"})];
    assert_snapshot!(refusal(&rows, &[]), @"");
}

#[test]
fn a_row_that_is_too_long() {
    let rows = [pair(" it"), pair(&" it".repeat(20))];
    let strict = ["--max-length", "16", "--set", "data.truncation=error"];
    assert_snapshot!(refusal(&rows, &strict), @"");
}

#[test]
fn many_rows_that_are_too_long() {
    let rows = [pair(" it"), pair(&" it".repeat(20))];
    assert_snapshot!(refusal(&rows, &["--max-length", "16"]), @"");
}

#[test]
fn a_role_that_the_template_refuses() {
    let rows = [
        chat(&[("user", "a"), ("assistant", "b")]),
        chat(&[("user", "a"), ("tool", "c"), ("assistant", "b")]),
    ];
    assert_snapshot!(refusal(&rows, &[]), @"");
}

#[test]
fn a_model_that_names_no_end() {
    let place = with_rows(&[pair(" it")]);
    place.set_token("eos_token", Value::Null);
    assert_snapshot!(place.refused_training(&TRAIN), @"");
}

#[test]
fn rows_longer_than_the_positions() {
    let longest = (POSITIONS + 1).to_string();
    assert_snapshot!(refusal(&[pair(" it")], &["--max-length", &longest]), @"");
    let sample = format!("train.samples=[\"{}\"]", "so ".repeat(POSITIONS));
    assert_snapshot!(refusal(&[pair(" it")], &["--set", &sample]), @"");
}

#[test]
fn a_tokenizer_of_another_decoder() {
    let place = with_rows(&[pair(" it")]);
    place.configure("base", &[("vocab_size", json!(300))]);
    assert_snapshot!(place.refused_training(&TRAIN), @"");
}

#[test]
fn labels_for_a_decoder() {
    assert_snapshot!(refusal(&reviews(6, &["bad", "good"]), &[]), @"");
}

#[test]
fn another_method_than_decoders_have() {
    let rows = [pair(" it"), pair(" that")];
    assert_snapshot!(refusal(&rows, &["--method", "head"]), @"");
}

#[test]
fn numbers_that_a_backend_does_not_have() {
    let place = with_rows(&[pair(" it")]);
    let half = [
        "train",
        "--backend",
        "ndarray",
        "--dtype",
        "bf16",
        "--output",
        "run",
    ];
    let text = place.refusal(&[&half[..], &TRAIN].concat());
    // A build may have no backend without such numbers; then that is said.
    let lacks = "error: backend `ndarray` has no bf16 arithmetic on this device\n\
                 hint: `--dtype f32` computes everywhere\n";
    let is_absent = text.starts_with("error: backend `ndarray` is not in this build\n");
    assert!(text == lacks || is_absent, "{text}");
}

fn of_encoder(flags: &[&str]) -> String {
    Place::with_reviews().refused_training(&[&TRAIN[..], flags].concat())
}

#[test]
fn settings_of_decoders_for_an_encoder() {
    assert_snapshot!(of_encoder(&["--set", "data.pack=true"]), @"");
    assert_snapshot!(of_encoder(&["--set", "model.gradient_checkpointing=true"]), @"");
    assert_snapshot!(of_encoder(&["--set", "train.samples=[\"a\"]"]), @"");
    assert_snapshot!(of_encoder(&["--set", "data.prompt_loss_weight=0.5"]), @"");
}

#[test]
fn chats_for_an_encoder() {
    let place = Place::with_reviews();
    place.rows("train.jsonl", &[chat(&[("user", "a"), ("assistant", "b")])]);
    assert_snapshot!(place.refused_training(&TRAIN), @"");
}
