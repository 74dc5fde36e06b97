//! `chat`, with lines in a pipe.

#[cfg(unix)]
use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use insta::assert_snapshot;
use serde_json::json;

use crate::place::{Called, Place};
#[cfg(unix)]
use crate::place::{interrupt, spawn};

fn place() -> Place {
    let place = Place::new();
    place.writer();
    place
}

/// Types lines into a chat that takes the likeliest tokens.
fn chat(place: &Place, arguments: &[&str], lines: &str) -> Called {
    let always = ["chat", "--model", "writer", "--backend", "flex"];
    place.call_with(&[&always, arguments].concat(), lines)
}

const GREEDY: [&str; 4] = ["--temperature", "0", "--max-tokens", "3"];

/// What is told of every conversation with this model.
const PLAIN: &str = "this model came without a chat template: a plain one is used\n";

#[test]
fn lines_are_answered_until_the_end_of_input() {
    let called = chat(&place(), &GREEDY, "hi\n\nhi again\n").expect_code(0);
    assert_eq!(called.out, "abc\nabc\n");
    let cut = "(cut off after 3 tokens)\n".repeat(2);
    assert_eq!(called.err, format!("{PLAIN}{cut}"));
}

#[test]
fn commands_are_no_messages() {
    let called = chat(&place(), &GREEDY, "/help\n/nonsense\n/save\n/quit\nhi\n").expect_code(1);
    assert_eq!(called.out, "");
    let told = called.err.strip_prefix(PLAIN).unwrap();
    assert_snapshot!(told, @r"
    /help       show this
    /reset      begin a new conversation
    /save FILE  add the conversation to a file that `train --data` reads
    /quit       leave; Ctrl-D does too
    Ctrl-C stops an answer. A line with a space before its slash is no command.
    error: unknown command `/nonsense`; /help lists those there are
    error: no file is named: `/save chats.jsonl`
    ");
}

#[test]
fn a_conversation_is_saved_as_a_row_to_train_on() {
    let place = place();
    let settings = ["--temperature", "0", "--stop", "d", "--system", "Count"];
    let lines = "/save chats.jsonl\nhi\n/save chats.jsonl\n/reset\nho\n/save chats.jsonl\n";
    let called = chat(&place, &settings, lines).expect_code(1);
    assert_eq!(called.out, "abc\nabc\n");
    let told = called.err.strip_prefix(PLAIN).unwrap();
    assert_snapshot!(told, @r"
    error: nothing to save: the conversation has no complete answer
    added to chats.jsonl
    a new conversation begins
    added to chats.jsonl
    ");
    let row = |text: &str| {
        json!({"messages": [
            {"role": "system", "content": "Count"},
            {"role": "user", "content": text},
            {"role": "assistant", "content": "abc"},
        ]})
    };
    assert_eq!(place.objects("chats.jsonl"), [row("hi"), row("ho")]);
}

#[test]
fn the_model_s_own_template_is_used() {
    let place = place();
    let template = "{% for message in messages %}{{ message.content }}\n{% endfor %}";
    place.write("writer/chat_template.jinja", template);
    let called = chat(&place, &GREEDY, "hi\n").expect_code(0);
    assert_eq!(called.out, "abc\n");
    assert_eq!(called.err, "(cut off after 3 tokens)\n");
}

#[test]
fn a_conversation_that_is_too_long_can_begin_anew() {
    let lines = format!("{}\n/reset\nhi\n", "a".repeat(70));
    let called = chat(&place(), &GREEDY, &lines).expect_code(1);
    assert_eq!(called.out, "abc\n");
    let told = called.err.strip_prefix(PLAIN).unwrap();
    assert_snapshot!(told, @r"
    error: the conversation has 88 tokens, and the model reads 64
    hint: /reset begins a new one
    a new conversation begins
    (cut off after 3 tokens)
    ");
}

#[test]
fn the_model_says_how_it_likes_to_write() {
    let place = place();
    let settings = json!({"temperature": 5.0, "top_k": 1, "do_sample": true});
    place.write("writer/generation_config.json", &settings.to_string());
    let called = chat(&place, &["--max-tokens", "3"], "hi\n").expect_code(0);
    assert_eq!(called.out, "abc\n");
    let called = chat(&place, &["--max-tokens", "3", "--top-k", "128"], "hi\n").expect_code(0);
    assert_ne!(called.out, "abc\n");
    place.write("writer/generation_config.json", "{\"do_sample\": false}");
    let called = chat(&place, &["--max-tokens", "3"], "hi\n").expect_code(0);
    assert_eq!(called.out, "abc\n");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_an_answer_and_then_the_chat() {
    let place = place();
    place.configure("writer", &[("max_position_embeddings", json!(50_000))]);
    let arguments = [
        "chat",
        "--model",
        "writer",
        "--backend",
        "flex",
        "--temperature",
        "0",
    ];
    let arguments = [&arguments[..], &["--max-tokens", "40000"]].concat();
    let mut child = spawn(&place, &arguments);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    input.write_all(b"hi\n").unwrap();
    output.read_exact(&mut [0; 3]).unwrap();
    interrupt(&child);
    let mut rest = String::new();
    output.read_line(&mut rest).unwrap();
    assert!(
        rest.ends_with('\n') && rest.len() < 40_000,
        "{}",
        rest.len()
    );
    // What was broken off is nothing to learn from.
    input.write_all(b"/save chats.jsonl\n").unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(line, PLAIN);
    line.clear();
    told.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        "error: nothing to save: the conversation has no complete answer\n"
    );
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!place.has("chats.jsonl"));
}
