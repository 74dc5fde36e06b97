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
    assert_snapshot!(refusal(&rows, &[]), @r"
    error: 5 of 6 rows in `train.jsonl` cannot be used
    train.jsonl:2: field `messages`: the last message is of `user`, not of `assistant` (end the chat with an answer, or remove what follows the last one)
    train.jsonl:3: field `messages[0].role`: role `human` is not known (use one of: `system`, `developer`, `user`, `assistant`, `tool`)
    train.jsonl:4: field `messages[0].content`: is missing (write what is said, or remove the message)
    train.jsonl:5: field `messages[1].content`: is empty (write the answer, or give the message weight 0)
    train.jsonl:6: field `messages`: every message of the assistant has weight 0 (give weight 1 to what is to be learned, or remove the row)
    ");
}

#[test]
fn prompts_without_a_completion() {
    let rows = [pair(" it"), pair(""), json!({"prompt": "say it:"})];
    assert_snapshot!(refusal(&rows, &[]), @r"
    error: 2 of 3 rows in `train.jsonl` cannot be used
    train.jsonl:2: field `completion`: is empty (write the answer or remove the row)
    train.jsonl:3: field `completion`: is missing; the row has `prompt` (a row has `prompt` and `completion`, `messages`, or `text`)
    ");
}

#[test]
fn a_row_that_is_too_long() {
    let rows = [pair(" it"), pair(&" it".repeat(20))];
    let strict = ["--max-length", "16", "--set", "data.truncation=error"];
    assert_snapshot!(refusal(&rows, &strict), @r"
    error: train.jsonl:2: the row has 47 tokens, the limit is 16
    hint: give a larger `--max-length`, shorten the row, or let `truncation` be `right`, `left` or `drop`
    ");
}

#[test]
fn many_rows_that_are_too_long() {
    let rows = [pair(" it"), pair(&" it".repeat(20))];
    assert_snapshot!(refusal(&rows, &["--max-length", "16"]), @r#"
    error: 1 of 2 rows have nothing to learn from: 1 longer than 16 tokens, 0 without an answer
    hint: give a larger `--max-length`; in training, `--set data.truncation=left` keeps the answers
    "#);
}

#[test]
fn a_role_that_the_template_refuses() {
    let rows = [
        chat(&[("user", "a"), ("assistant", "b")]),
        chat(&[("user", "a"), ("tool", "c"), ("assistant", "b")]),
    ];
    assert_snapshot!(refusal(&rows, &[]), @r"
    error: train.jsonl:2: the chat template refuses the messages: `no tools here`
    hint: change the roles or their order to what the model was made for
    ");
}

#[test]
fn a_model_that_names_no_end() {
    let place = with_rows(&[pair(" it")]);
    place.set_token("eos_token", Value::Null);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: `base` names no end-of-sequence token
    hint: name it as `eos_token` in `tokenizer_config.json`: without one the model never learns to stop
    ");
}

#[test]
fn rows_longer_than_the_positions() {
    let longest = (POSITIONS + 1).to_string();
    assert_snapshot!(refusal(&[pair(" it")], &["--max-length", &longest]), @r"
    error: `max_length` is 97, and the model reads at most 96 tokens
    hint: give `--max-length 96` or less
    ");
    let sample = format!("train.samples=[\"{}\"]", "so ".repeat(POSITIONS));
    assert_snapshot!(refusal(&[pair(" it")], &["--set", &sample]), @r"
    error: a prompt in `train.samples` has 289 tokens, and the model reads at most 96
    hint: shorten it
    ");
}

#[test]
fn a_tokenizer_of_another_decoder() {
    let place = with_rows(&[pair(" it")]);
    place.configure("base", &[("vocab_size", json!(300))]);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: the tokenizer's highest id is 399, the model's embedding has 300 rows
    hint: tokenizer and weights are of different models; copy both from one folder
    ");
}

#[test]
fn labels_for_a_decoder() {
    assert_snapshot!(refusal(&reviews(6, &["bad", "good"]), &[]), @r"
    error: this model writes text, it cannot do the task `classify`
    hint: give rows with `prompt` and `completion`, `messages` or `text`; or take an encoder, such as BERT
    ");
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
    assert_snapshot!(of_encoder(&["--set", "data.pack=true"]), @r"
    error: `data.pack` is for the task `generate`, and this run's is `classify`
    hint: remove `data.pack`
    ");
    assert_snapshot!(of_encoder(&["--set", "model.gradient_checkpointing=true"]), @r"
    error: `model.gradient_checkpointing` is for the task `generate`, and this run's is `classify`
    hint: remove `model.gradient_checkpointing`
    ");
    assert_snapshot!(of_encoder(&["--set", "train.samples=[\"a\"]"]), @r"
    error: `train.samples` is for the task `generate`, and this run's is `classify`
    hint: remove `train.samples`
    ");
    assert_snapshot!(of_encoder(&["--set", "data.prompt_loss_weight=0.5"]), @r"
    error: `data.prompt_loss_weight` is for the task `generate`, and this run's is `classify`
    hint: remove `data.prompt_loss_weight`
    ");
}

#[test]
fn chats_for_an_encoder() {
    let place = Place::with_reviews();
    place.rows("train.jsonl", &[chat(&[("user", "a"), ("assistant", "b")])]);
    assert_snapshot!(place.refused_training(&TRAIN), @r"
    error: this model scores text, it cannot do the task `generate`
    hint: take a decoder, such as Llama, Qwen or GPT-2, for data without labels; or `--task mask`, so that this one learns the words of a text
    ");
}
