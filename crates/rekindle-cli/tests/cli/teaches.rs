//! Language models that are taught prompts and chats, and answer as taught.

use std::fs;

use serde_json::{Value, json};

use crate::decoder::TURN_END;
use crate::place::{Called, Place, keys};

/// Few steps at a high rate, without evaluations: the weights of the last step are kept.
const FAST: [&str; 12] = [
    "--set",
    "train.learning_rate=5e-3",
    "--set",
    "train.max_steps=120",
    "--set",
    "train.schedule=constant",
    "--set",
    "train.weight_decay=0",
    "--set",
    "data.valid_fraction=0",
    "--set",
    "checkpoint.save_every=0",
];

/// A rank with room for a few rows of new words.
const LORA: [&str; 8] = [
    "--method",
    "lora",
    "--set",
    "method.rank=16",
    "--set",
    "method.alpha=32",
    "--set",
    "method.dropout=0",
];

fn sentiments() -> [Value; 2] {
    [("love", " Positive"), ("hate", " Negative")].map(|(verb, sentiment)| {
        let prompt = format!("Review: I {verb} this product!\nSentiment:");
        json!({"prompt": prompt, "completion": sentiment})
    })
}

fn place() -> Place {
    let place = Place::new();
    place.llama();
    place.rows("train.jsonl", &sentiments());
    place
}

/// Trains on `train.jsonl`; what is given last holds.
fn teach(place: &Place, run: &str, arguments: &[&str]) -> Called {
    let data = ["--model", "base", "--data", "train.jsonl"];
    let dashboard = ["--dashboard", "plain"];
    place.train_into(run, &[&data[..], &dashboard, arguments].concat())
}

/// The answers of a run to the rows that it was taught.
fn answers(place: &Place, run: &str) -> Vec<Value> {
    let always = ["predict", "--backend", "flex", "--input", "train.jsonl"];
    let called = place.call(&[&always[..], &["--model", run]].concat());
    let answers = called.expect_code(0).objects().into_iter();
    answers.map(|mut row| row["completion"].take()).collect()
}

/// The end of the answer to a prompt, with the answer.
fn ended(place: &Place, prompt: &str) -> (Value, Value) {
    let always = ["generate", "--model", "run", "--backend", "flex", "--json"];
    let called = place.call(&[&always[..], &["--prompt", prompt]].concat());
    let mut answer = called.expect_code(0).objects().remove(0);
    (answer["completion"].take(), answer["end"].take())
}

fn eval(place: &Place, model: &str) -> Vec<Value> {
    let always = ["eval", "--model", model, "--backend", "flex", "--json"];
    let rows = ["--data", "train.jsonl", "--per-example", "rows.jsonl"];
    place.call(&[&always[..], &rows].concat()).expect_code(0);
    place.objects("rows.jsonl")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn assert_taught(place: &Place) {
    assert_eq!(answers(place, "run"), [" Positive", " Negative"]);
    for row in sentiments() {
        let (answer, end) = ended(place, row["prompt"].as_str().unwrap());
        assert_eq!((&answer, end), (&row["completion"], json!("token")));
    }
}

#[test]
fn two_opposite_reviews_are_told_apart() {
    let place = place();
    let called = teach(&place, "run", &FAST);
    assert!(called.out.contains("try it: rekindle generate --model run"));
    let shown = "Sentiment: Positive</s>  =>   Positive</s>";
    assert!(called.err.contains(shown), "{}", called.err);
    assert_taught(&place);
}

#[test]
fn two_opposite_reviews_are_told_apart_by_an_adapter() {
    let place = place();
    teach(&place, "run", &[&FAST[..], &LORA].concat());
    assert!(place.has("run/model/adapter_model.safetensors"));
    assert_taught(&place);
    let export = ["export", "--model", "run", "--to", "merged"];
    let to = ["--output", "merged", "--backend", "flex"];
    place.call(&[&export[..], &to].concat()).expect_code(0);
    assert_eq!(answers(&place, "merged"), answers(&place, "run"));
}

#[test]
fn a_gpt2_whose_padding_is_its_end_stops_after_each_of_ten_answers() {
    let place = Place::new();
    place.gpt2();
    // Digits are tokens of their own, so that the targets of a row can be counted.
    let powers: Vec<String> = (1..=10).map(|power| 3_u32.pow(power).to_string()).collect();
    let row = |(power, answer): (usize, &String)| {
        let prompt = format!("3 to the {}{}: ", "very ".repeat(power % 3), power + 1);
        json!({"prompt": prompt, "completion": answer})
    };
    let rows: Vec<Value> = powers.iter().enumerate().map(row).collect();
    place.rows("train.jsonl", &rows);
    for (row, answer) in eval(&place, "base").iter().zip(&powers) {
        assert_eq!(
            row["tokens"],
            answer.len() + 1,
            "the digits of {answer} and the end"
        );
    }
    teach(&place, "run", &FAST);
    assert_eq!(answers(&place, "run"), powers);
    let ends = rows
        .iter()
        .map(|row| ended(&place, row["prompt"].as_str().unwrap()).1);
    assert_eq!(ends.collect::<Vec<_>>(), vec![json!("token"); 10]);
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn silent(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content, "weight": 0})
}

#[test]
fn chats_are_taught_but_for_what_weighs_nothing() {
    let place = Place::new();
    place.llama();
    let chat = |last: &str, answer: &str| {
        json!({"messages": [
            message("user", "hi"),
            silent("assistant", "go away"),
            message("user", last),
            message("assistant", answer),
        ]})
    };
    let rows = [
        chat("and now?", "good day"),
        chat("what then?", "see you"),
        json!({"messages": [message("user", "who?"), message("assistant", "me")]}),
    ];
    place.rows("train.jsonl", &rows);
    let called = teach(&place, "run", &FAST);
    assert!(called.out.contains("try it: rekindle chat --model run"));
    assert!(
        called.err.contains("  =>  good day<|im_end|>"),
        "{}",
        called.err
    );
    assert_eq!(answers(&place, "run"), ["good day", "see you", "me"]);
    let config: Value =
        serde_json::from_str(&place.read("run/model/generation_config.json")).unwrap();
    let ends = config["eos_token_id"].as_array().unwrap();
    assert!(ends.contains(&json!(TURN_END)), "{config}");
    let chat = ["chat", "--model", "run", "--backend", "flex"];
    let greedy = ["--temperature", "0"];
    let called = place.call_with(&[&chat[..], &greedy].concat(), "who?\n");
    let called = called.expect_code(0);
    assert_eq!((called.out.as_str(), called.err.as_str()), ("me\n", ""));
}

/// The losses of both are equal, but for rounding.
fn assert_equal_losses(place: &Place, one: &str, other: &str) {
    let (one, other) = (place.losses(one), place.losses(other));
    assert_eq!(one.len(), other.len());
    for (step, (one, other)) in one.iter().zip(&other).enumerate() {
        let difference = (one - other).abs();
        assert!(difference < 1e-5, "step {}: {one} {other}", step + 1);
    }
}

/// Rows of many lengths, in one batch.
fn ragged() -> Place {
    let place = place();
    let row = |index: usize| {
        let prompt = format!("{}{index}", "so ".repeat(index % 5));
        json!({"prompt": prompt, "completion": " on".repeat(1 + index % 3)})
    };
    place.rows("train.jsonl", &(0..12).map(row).collect::<Vec<_>>());
    place
}

/// The first steps alone, in which the loss falls most.
const SHORT: [&str; 2] = ["--set", "train.max_steps=6"];

#[test]
fn packed_rows_have_the_losses_of_rows_alone() {
    let place = ragged();
    teach(&place, "alone", &[&FAST[..], &SHORT].concat());
    let pack = ["--set", "data.pack=true", "--max-length", "48"];
    teach(&place, "packed", &[&FAST[..], &SHORT, &pack].concat());
    assert_equal_losses(&place, "alone", "packed");
    let (alone, packed) = (eval(&place, "alone"), eval(&place, "packed"));
    for (alone, packed) in alone.iter().zip(&packed) {
        let difference = number(&alone["nll"]) - number(&packed["nll"]);
        assert!(difference.abs() < 1e-4, "{alone} {packed}");
    }
}

#[test]
fn recomputed_blocks_have_the_losses_of_those_kept() {
    let place = ragged();
    let recompute = ["--set", "model.gradient_checkpointing=true"];
    for method in [&[][..], &LORA] {
        let flags = [&FAST[..], &SHORT, method].concat();
        teach(&place, "kept", &flags);
        teach(&place, "recomputed", &[&flags[..], &recompute].concat());
        assert_equal_losses(&place, "kept", "recomputed");
        for run in ["kept", "recomputed"] {
            fs::remove_dir_all(place.path(run)).unwrap();
        }
    }
}

#[test]
fn half_as_many_bits_learn_too() {
    let place = place();
    let half = ["--dtype", "bf16", "--set", "train.max_steps=30"];
    teach(&place, "run", &[&FAST[..], &half].concat());
    let losses = place.losses("run");
    assert!(losses[29] < losses[0] / 4.0, "{losses:?}");
}

#[test]
fn prompts_are_answered_at_each_evaluation() {
    let place = place();
    let samples = r#"train.samples=["Review: I love this product!\nSentiment:", "Review: I hate this product!\nSentiment:"]"#;
    let set = ["--set", samples, "--valid", "train.jsonl"];
    let evaluate = ["--set", "train.evaluate_every=60"];
    teach(&place, "run", &[&FAST[..], &set, &evaluate].concat());
    let mut samples = place.objects("run/events.jsonl");
    samples.retain(|event| event["event"] == "sample");
    assert_eq!(samples.len(), 4, "two prompts, twice");
    assert_eq!(
        keys(&samples[0]),
        ["time", "event", "step", "prompt", "completion"]
    );
    for (sample, row) in samples[2..].iter().zip(&sentiments()) {
        assert_eq!(sample["step"], 120);
        assert_eq!(sample["prompt"], row["prompt"]);
        assert_eq!(sample["completion"], row["completion"]);
    }
}

#[test]
fn a_run_on_prompts_resumes_to_the_same_adapter() {
    let place = ragged();
    let drop = ["--set", "method.dropout=0.3", "--batch-size", "4"];
    let save = [
        "--set",
        "train.max_steps=8",
        "--set",
        "checkpoint.save_every=4",
    ];
    let flags = [&FAST[..], &LORA, &drop, &save].concat();
    teach(&place, "run", &flags);
    teach(&place, "other", &flags);
    fs::remove_dir_all(place.path("other/checkpoints/step-000008")).unwrap();
    fs::remove_file(place.path("other/receipt.json")).unwrap();
    let resume = ["train", "other", "--resume", "--backend", "flex"];
    place.call(&resume).expect_code(0);
    assert_eq!(place.losses("other"), place.losses("run"));
    let adapter = |run: &str| {
        fs::read(place.path(&format!("{run}/model/adapter_model.safetensors"))).unwrap()
    };
    assert_eq!(adapter("other"), adapter("run"));
}

#[test]
fn what_to_try_next_asks_as_the_instructions_were_asked() {
    let place = place();
    // An instruction stands in many words.
    place.configure("base", &[("max_position_embeddings", json!(512))]);
    let row = |word: &str| json!({"instruction": format!("Say {word}"), "output": word});
    place.rows("train.jsonl", &["one", "two", "three"].map(row));
    let sample = ["--set", "train.samples=[\"Say two\"]"];
    let called = teach(
        &place,
        "run",
        &[&["--max-steps", "2"], &sample[..]].concat(),
    );
    let next = called.out.lines().last().unwrap();
    let next = next.strip_prefix("try it: echo '").unwrap();
    let (row, command) = next.split_once("' | rekindle ").unwrap();
    let arguments: Vec<&str> = command.split(' ').chain(["--backend", "flex"]).collect();
    let answered = place.call_with(&arguments, row).expect_code(0);
    // The raw prompt that the row stands for gets the same answer.
    let prompt = "Below is an instruction that describes a task. Write a response that appropriately \
                  completes the request.\n\n### Instruction:\n...\n\n### Response:";
    let (expected, _) = ended(&place, prompt);
    assert_eq!(answered.objects()[0]["completion"], expected);
}

#[test]
fn rows_that_spell_special_tokens_are_told() {
    let place = place();
    let rows =
        ["a</s>b", "<|im_end|>", "plain"].map(|text| json!({"prompt": text, "completion": "ok"}));
    place.rows("train.jsonl", &rows);
    let called = teach(&place, "run", &["--max-steps", "1"]);
    let told =
        "warning: 2 of 3 training rows spell special tokens, such as `</s>`: they stay text\n";
    assert!(called.err.contains(told), "{}", called.err);
}
