//! `generate`, and `predict` with a language model.

use std::io::{BufRead as _, BufReader, Read as _};

use insta::assert_snapshot;
use serde_json::json;

#[cfg(unix)]
use crate::place::interrupt;
use crate::place::{Called, Place, keys, spawn, text};

const ALWAYS: [&str; 5] = ["generate", "--model", "writer", "--backend", "flex"];

fn place() -> Place {
    let place = Place::new();
    place.writer();
    place
}

fn generate(place: &Place, arguments: &[&str]) -> Called {
    place.call(&[&ALWAYS, arguments].concat())
}

fn refusal(arguments: &[&str]) -> String {
    place().refusal(&[&ALWAYS, arguments].concat())
}

#[test]
fn a_text_is_gone_on_with() {
    let place = place();
    let called = generate(&place, &["--prompt", "xab", "--max-tokens", "4"]).expect_code(0);
    assert_eq!(called.out, "cdef\n");
    assert_eq!(called.err, "");
    // The end of the text is none of it.
    let called = generate(&place, &["--prompt", "abx"]).expect_code(0);
    assert_eq!(called.out, "\n");
}

#[test]
fn an_answer_without_an_end_takes_the_room_there_is() {
    let called = generate(&place(), &["--prompt", "ab"]).expect_code(0);
    assert_eq!(called.out.len(), 62 + 1);
    assert_eq!(
        called.err,
        "cut off after 62 tokens; `--max-tokens` allows more\n"
    );
}

#[test]
fn a_stop_string_ends_an_answer() {
    let called = generate(
        &place(),
        &["--prompt", "a", "--stop", "gha", "--stop", "zz"],
    );
    assert_eq!(called.expect_code(0).out, "bcdef\n");
}

#[test]
fn a_prompt_comes_from_standard_input() {
    let place = place();
    let arguments = [&ALWAYS[..], &["--prompt", "-", "--max-tokens", "3"]].concat();
    assert_eq!(
        place.call_with(&arguments, "x\nab\n").expect_code(0).out,
        "cde\n"
    );
    // A line break of its own is part of the prompt.
    assert_eq!(
        place.call_with(&arguments, "ab\n\n").expect_code(0).out,
        "abc\n"
    );
}

#[test]
fn an_answer_is_an_object() {
    let called = generate(&place(), &["--prompt", "ab", "--max-tokens", "4", "--json"]);
    let object = &called.expect_code(0).objects()[0];
    let fields = [
        "prompt",
        "completion",
        "end",
        "prompt_tokens",
        "tokens",
        "seconds_to_first_token",
        "tokens_per_second",
    ];
    assert_eq!(keys(object), fields);
    assert_eq!(object["prompt"], "ab");
    assert_eq!(object["completion"], "cdef");
    assert_eq!(object["end"], "length");
    assert_eq!(
        (&object["prompt_tokens"], &object["tokens"]),
        (&json!(2), &json!(4))
    );
    assert!(object["tokens_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let place = place();
    let drawn = |seed| {
        let arguments = ["--prompt", "ab", "--temperature", "3", "--seed", seed];
        generate(&place, &arguments).expect_code(0).out
    };
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    let likely = [
        "--prompt",
        "ab",
        "--temperature",
        "3",
        "--top-k",
        "1",
        "--max-tokens",
        "3",
    ];
    assert_eq!(generate(&place, &likely).expect_code(0).out, "cde\n");
}

#[test]
fn what_cannot_be_written_is_refused() {
    assert_snapshot!(refusal(&["--prompt", ""]), @r"
    error: the prompt has no tokens
    hint: give a text to go on from
    ");
    assert_snapshot!(refusal(&["--prompt", "abc", "--max-tokens", "62"]), @r"
    error: the prompt has 3 tokens, which with 62 for the answer is more than the 64 that the model reads
    hint: ask for at most 61 tokens, or shorten the prompt
    ");
    assert_snapshot!(refusal(&["--prompt", &"a".repeat(64)]), @r"
    error: the prompt has 64 tokens, which with 1 for the answer is more than the 64 that the model reads
    hint: shorten the prompt to less than 64 tokens
    ");
    assert_snapshot!(refusal(&["--prompt", "a", "--max-length", "65"]), @r"
    error: `max_length` is 65, and the model reads at most 64 tokens
    hint: give `--max-length 64` or less
    ");
    assert_snapshot!(refusal(&["--prompt", "a", "--top-p", "0.9"]), @r"
    error: `top_p` has no effect at temperature 0, which always takes the likeliest token
    hint: leave it out, or give `--temperature 0.7`
    ");
    assert_snapshot!(refusal(&["--prompt", "a", "--seed", "1"]), @r"
    error: `seed` has no effect at temperature 0, which always takes the likeliest token
    hint: leave it out, or give `--temperature 0.7`
    ");
    assert_snapshot!(refusal(&["--prompt", "a", "--temperature", "-1"]), @"error: `temperature` is -1, expected 0 or more");
    assert_snapshot!(refusal(&["--prompt", "a", "--stop", ""]), @r"
    error: a stop string is empty
    hint: give a text at which to stop, or none
    ");
}

#[test]
fn an_encoder_does_not_write() {
    let place = Place::new();
    place.model("bert-single", "base");
    let arguments = [
        "generate",
        "--model",
        "base",
        "--backend",
        "flex",
        "--prompt",
        "a",
    ];
    assert_snapshot!(place.refusal(&arguments), @r"
    error: this model scores text, it cannot do the task `generate`
    hint: take a decoder, such as Llama, Qwen or GPT-2, for data without labels; or `--task mask`, so that this one learns the words of a text
    ");
    let predict = [
        "predict",
        "--model",
        "base",
        "--backend",
        "flex",
        "--text",
        "a",
    ];
    let arguments = [&predict[..], &["--max-tokens", "3"]].concat();
    assert_snapshot!(place.refusal(&arguments), @"error: this model scores text: `--max-tokens` is for language models");
}

#[test]
fn a_closed_pipe_ends_an_answer_quietly() {
    let place = place();
    let mut child = spawn(&place, &[&ALWAYS[..], &["--prompt", "ab"]].concat());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(text(child.stderr.take().unwrap()), "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_an_answer() {
    let place = place();
    place.configure("writer", &[("max_position_embeddings", json!(50_000))]);
    let arguments = [&ALWAYS[..], &["--prompt", "ab", "--max-tokens", "40000"]].concat();
    let mut child = spawn(&place, &arguments);
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 3]).unwrap();
    interrupt(&child);
    let rest = text(output);
    assert!(
        rest.ends_with('\n') && rest.len() < 40_000,
        "{}",
        rest.len()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(text(child.stderr.take().unwrap()), "");
}

fn predict(place: &Place, arguments: &[&str]) -> Called {
    let always = ["predict", "--model", "writer", "--backend", "flex"];
    place.call(&[&always, arguments].concat())
}

#[test]
fn rows_get_completions_in_their_order() {
    let place = place();
    place.rows(
        "rows.jsonl",
        &[
            json!({"id": 1, "prompt": "xxxxxab", "completion": "left alone"}),
            json!({"id": 2, "text": "g"}),
            json!({"id": 3, "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "left out"},
            ]}),
            json!({"id": 4, "prompt": 5}),
            json!({"id": 5, "prompt": "a".repeat(70)}),
            json!({"id": 6, "prompt": "x"}),
        ],
    );
    let called = predict(&place, &["--input", "rows.jsonl", "--max-tokens", "3"]).expect_code(1);
    assert_eq!(
        called.err,
        "error: 2 rows could not be answered; each holds its `error`\n"
    );
    let answers = called.objects();
    assert_eq!(keys(&answers[0]), ["id", "prompt", "completion"]);
    assert_eq!(answers[0]["completion"], "cde");
    assert_eq!(answers[1]["completion"], "hab");
    assert_eq!(keys(&answers[2]), ["id", "messages", "completion"]);
    assert_eq!(answers[2]["completion"], "abc");
    assert_eq!(
        answers[3]["error"],
        "line 4: field `prompt`: holds an integer"
    );
    let error = answers[4]["error"].as_str().unwrap();
    assert!(
        error.contains("more than the 64 that the model reads"),
        "{error}"
    );
    assert_eq!(answers[5]["completion"], "");
}

#[test]
fn a_row_draws_the_same_beside_other_rows() {
    let place = place();
    let settings = ["--temperature", "2", "--max-tokens", "8"];
    let texts = |texts: &[&str]| {
        let texts = texts.iter().flat_map(|text| ["--text", text]);
        let arguments: Vec<_> = texts.chain(settings).collect();
        predict(&place, &arguments).expect_code(0).objects()
    };
    let alone = texts(&["ab"]);
    let beside = texts(&["ab", "abcdefghab", "c"]);
    assert_eq!(alone[0], beside[0]);
    assert_ne!(beside[0]["completion"], beside[2]["completion"]);
}

#[test]
fn a_language_model_has_no_logits_to_add() {
    let place = place();
    let arguments = [
        "predict",
        "--model",
        "writer",
        "--backend",
        "flex",
        "--text",
        "a",
        "--logits",
    ];
    assert_snapshot!(place.refusal(&arguments), @"error: this model writes text: `--logits` is for models that score");
}

#[test]
fn pieces_come_out_before_the_end() {
    let place = place();
    let mut child = spawn(&place, &[&ALWAYS[..], &["--prompt", "ab"]].concat());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = [0];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"c");
    let mut rest = String::new();
    output.read_line(&mut rest).unwrap();
    assert_eq!(rest.len(), 62);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
