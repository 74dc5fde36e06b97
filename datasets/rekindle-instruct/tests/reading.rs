//! Files of prompts, chats and texts, good and bad.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs};

use rekindle_data::{
    Content, DataError, Dataset, GenerationExample, Limit, Message, Record, Rendered, Renderer,
    Role, RowError, TaskKind, TextTokenizer, Truncation,
};
use rekindle_instruct::{Prompt, bundled, example, prompt, read};
use serde_json::{Value, json};

fn read_text(name: &str, text: &str) -> Result<Dataset<GenerationExample>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read(&path, None)
}

fn record(fields: Value) -> Record {
    let Value::Object(fields) = fields else {
        panic!("not an object");
    };
    Record { line: 7, fields }
}

fn content(fields: Value) -> Content {
    example(&record(fields)).unwrap().content
}

fn messages(fields: Value) -> Vec<Message> {
    match content(fields) {
        Content::Chat { messages, .. } => messages,
        other => panic!("no chat: {other:?}"),
    }
}

fn error(fields: Value) -> RowError {
    example(&record(fields)).unwrap_err()
}

fn completion(prompt: &str, completion: &str) -> Content {
    Content::Completion {
        prompt: prompt.to_owned(),
        completion: completion.to_owned(),
    }
}

#[test]
fn prompts_and_completions_are_kept_as_they_are() {
    let data = read_text(
        "a.jsonl",
        "{\"prompt\": \"Review: good\\nSentiment:\", \"completion\": \" Positive\"}\n",
    )
    .unwrap();
    assert_eq!(data.inference.task, TaskKind::Generate);
    assert_eq!(
        data.rows[0].content,
        completion("Review: good\nSentiment:", " Positive")
    );
    let data = read_text("a.csv", "prompt,completion\na:,\" b\"\n").unwrap();
    assert_eq!(data.rows[0].content, completion("a:", " b"));
    assert_eq!(data.rows[0].line, 2);
}

#[test]
fn plain_files_are_one_text() {
    let data = read_text("a.txt", "One, two.\n\nThree.\n").unwrap();
    assert_eq!(
        data.rows[0].content,
        Content::Text("One, two.\n\nThree.\n".to_owned())
    );
    let data = read_text("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
    assert_eq!(data.rows.len(), 2);
}

#[test]
fn messages_keep_what_the_template_may_read() {
    let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    let found = content(json!({
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": call, "weight": 0},
            {"role": "tool", "content": "r", "tool_call_id": "1"},
            {"role": "assistant", "content": "c", "weight": 1},
        ],
        "tools": [{"type": "function"}],
    }));
    let Content::Chat { messages, tools } = found else {
        panic!("no chat");
    };
    let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
    let expected = [
        Role::Developer,
        Role::User,
        Role::Assistant,
        Role::Tool,
        Role::Assistant,
    ];
    assert_eq!(roles, expected);
    assert_eq!(messages[1].content(), Some("ab"));
    let fields = |k: usize| Value::Object(messages[k].fields.clone());
    assert_eq!(fields(2), json!({"role": "assistant", "tool_calls": call}));
    assert_eq!(
        fields(3),
        json!({"role": "tool", "content": "r", "tool_call_id": "1"})
    );
    let targets: Vec<bool> = messages.iter().map(Message::is_target).collect();
    assert_eq!(targets, [false, false, false, false, true]);
    assert_eq!(tools, Some(json!([{"type": "function"}])));
}

#[test]
fn conversations_of_sharegpt_are_chats() {
    let found = messages(json!({
        "system": "s",
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "gpt", "value": "b"},
            {"from": "observation", "value": "c"},
            {"role": "assistant", "content": "d"},
        ],
    }));
    let expected = [
        Message::new(Role::System, "s"),
        Message::new(Role::User, "a"),
        Message::new(Role::Assistant, "b"),
        Message::new(Role::Tool, "c"),
        Message::new(Role::Assistant, "d"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn only_the_completion_of_a_chat_is_learned() {
    let found = messages(json!({
        "prompt": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        "completion": [{"role": "assistant", "content": "d"}],
    }));
    let targets: Vec<bool> = found.iter().map(Message::is_target).collect();
    assert_eq!(targets, [false, false, false, true]);
}

#[test]
fn instructions_become_the_prompt_of_alpaca() {
    let found = content(json!({"instruction": "Name a color.", "input": "", "output": "Red"}));
    let text = "Below is an instruction that describes a task. Write a response that appropriately \
                completes the request.\n\n### Instruction:\nName a color.\n\n### Response:";
    assert_eq!(found, completion(text, "Red"));
    let found = content(json!({"instruction": "Sum", "input": "1 2", "output": "3"}));
    let text = "Below is an instruction that describes a task, paired with an input that provides \
                further context. Write a response that appropriately completes the request.\n\n\
                ### Instruction:\nSum\n\n### Input:\n1 2\n\n### Response:";
    assert_eq!(found, completion(text, "3"));
}

/// Each row fails with this message, after the line.
fn fail(rows: &[(Value, &str)]) {
    for (fields, message) in rows {
        let error = error(fields.clone());
        assert_eq!(error.to_string(), format!("line 7: field {message}"));
        assert!(!error.fix.is_empty());
    }
}

#[test]
fn a_bad_chat_names_line_and_field() {
    let user = json!({"role": "user", "content": "a"});
    let answer = json!({"role": "assistant", "content": "b"});
    let passed = json!({"role": "assistant", "content": "b", "weight": 0});
    let shared = json!([{"from": "bing", "value": "a"}]);
    fail(&[
        (
            json!({"messages": [user, answer, user]}),
            "`messages`: the last message is of `user`, not of `assistant`",
        ),
        (json!({"messages": []}), "`messages`: holds no messages"),
        (json!({"messages": "a"}), "`messages`: holds a string"),
        (json!({"messages": ["a"]}), "`messages[0]`: is a string"),
        (
            json!({"messages": [user, passed]}),
            "`messages`: every message of the assistant has weight 0",
        ),
        (
            json!({"messages": [user, answer], "tools": "f"}),
            "`tools`: holds a string",
        ),
        (
            json!({"conversations": shared}),
            "`conversations[0].from`: role `bing` is not known",
        ),
    ]);
}

#[test]
fn a_bad_message_names_its_number_and_field() {
    let chat = |last: Value| json!({"messages": [{"role": "user", "content": "a"}, last]});
    fail(&[
        (
            chat(json!({"role": "bot", "content": "b"})),
            "`messages[1].role`: role `bot` is not known",
        ),
        (
            chat(json!({"content": "b"})),
            "`messages[1].role`: is missing",
        ),
        (
            chat(json!({"role": "assistant"})),
            "`messages[1].content`: is missing",
        ),
        (
            chat(json!({"role": "assistant", "content": " "})),
            "`messages[1].content`: is empty",
        ),
        (
            chat(json!({"role": "user", "content": [{"type": "image_url"}]})),
            "`messages[1].content`: has a part that is no text",
        ),
        (
            chat(json!({"role": "assistant", "content": "b", "weight": 0.5})),
            "`messages[1].weight`: holds `0.5`, neither 0 nor 1",
        ),
        (
            chat(json!({"role": "assistant", "content": "b", "weight": "1"})),
            "`messages[1].weight`: holds a string, neither 0 nor 1",
        ),
    ]);
}

#[test]
fn a_bad_prompt_or_text_names_line_and_field() {
    fail(&[
        (
            json!({"prompt": "a", "completion": ""}),
            "`completion`: is empty",
        ),
        (
            json!({"prompt": "a"}),
            "`completion`: is missing; the row has `prompt`",
        ),
        (
            json!({"prompt": 1, "completion": "a"}),
            "`prompt`: holds an integer",
        ),
        (
            json!({"instruction": "a", "output": ""}),
            "`output`: is empty",
        ),
        (
            json!({"text": " "}),
            "`text`: holds no text, only white space or nothing",
        ),
        (json!({"a": 1}), "`text`: is missing; the row has `a`"),
    ]);
}

#[test]
fn an_unknown_role_is_told_the_known_ones() {
    let found = error(json!({"messages": [{"role": "human", "content": "a"}]}));
    assert_eq!(
        found.fix,
        "use one of: `system`, `developer`, `user`, `assistant`, `tool`"
    );
}

#[test]
fn bad_rows_of_a_file_are_listed() {
    let text =
        "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\", \"completion\": \"\"}\n";
    let error = read_text("a.jsonl", text).unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 rows in"), "{error}");
    assert!(
        error.ends_with(
            "a.jsonl:2: field `completion`: is empty (write the answer or remove the row)"
        ),
        "{error}"
    );
}

#[test]
fn labeled_texts_are_refused() {
    let error = read_text("a.jsonl", "{\"text\": \"a\", \"label\": \"b\"}").unwrap_err();
    assert_eq!(error.hint().unwrap(), "set the task to `classify`");
}

#[test]
fn what_is_to_be_answered_needs_no_answer() {
    let prompt = |fields| prompt(&record(fields)).unwrap();
    let text = |text: &str| Prompt::Text(text.to_owned());
    assert_eq!(prompt(json!({"prompt": "a"})), text("a"));
    assert_eq!(prompt(json!({"prompt": "a", "completion": "b"})), text("a"));
    assert_eq!(prompt(json!({"text": "a"})), text("a"));
    let user = json!({"role": "user", "content": "a"});
    let answer = json!({"role": "assistant", "content": "b"});
    for fields in [
        json!({"messages": [user]}),
        json!({"messages": [user, answer]}),
        json!({"prompt": [user]}),
    ] {
        let expected = Prompt::Chat {
            messages: vec![Message::new(Role::User, "a")],
            tools: None,
        };
        assert_eq!(prompt(fields), expected);
    }
    assert!(rekindle_instruct::prompt(&record(json!({"messages": [answer]}))).is_err());
    assert!(rekindle_instruct::prompt(&record(json!({"a": 1}))).is_err());
}

#[test]
fn the_bundled_glossary_is_as_its_card_says() {
    let data = bundled::glossary();
    assert_eq!(data.rows.len(), 20);
    let (mut prompts, mut completions) = (HashSet::new(), HashSet::new());
    for row in &data.rows {
        let Content::Completion { prompt, completion } = &row.content else {
            panic!("line {}", row.line);
        };
        assert!(
            prompt.starts_with("Q: ") && prompt.ends_with("\nA:"),
            "{prompt}"
        );
        assert!(
            completion.starts_with(' ') && completion.ends_with('.'),
            "{completion}"
        );
        let words = completion.split_whitespace().count();
        assert!((10..=20).contains(&words), "{words}: {completion}");
        assert!(prompts.insert(prompt) && completions.insert(completion));
    }
}

/// The folder of real data, if there is one.
fn real_data() -> Option<PathBuf> {
    let folder = env::var_os("REKINDLE_TEST_DATA").map(PathBuf::from);
    let is_strict = env::var("REKINDLE_TEST_STRICT").is_ok_and(|value| value == "1");
    assert!(
        folder.is_some() || !is_strict,
        "`REKINDLE_TEST_DATA` is not set, and REKINDLE_TEST_STRICT=1 asks for it"
    );
    if folder.is_none() {
        // Past the test harness, which hides what a passing test prints.
        let told = b"SKIPPED: `REKINDLE_TEST_DATA` is not set, no real files were read\n";
        std::io::stderr().write_all(told).unwrap();
    }
    folder
}

#[test]
fn real_files_read_and_render_in_full() {
    let Some(folder) = real_data() else {
        return;
    };
    let model = folder.join("stories260k");
    let tokenizer = TextTokenizer::from_folder(&model).unwrap();
    let renderer = Renderer::open(&model, &tokenizer).unwrap();
    let limit = Limit {
        max_length: 1_000_000,
        truncation: Truncation::Error,
    };
    for (file, count) in [
        ("instruct/completion.train.jsonl", 1000),
        ("instruct/completion.valid.jsonl", 100),
        ("instruct/chat.train.jsonl", 1000),
        ("instruct/chat.valid.jsonl", 100),
        ("chat/multi_turn.jsonl", 200),
        ("tinyshakespeare/tinyshakespeare.txt", 1),
    ] {
        let data = read(&folder.join(file), None).unwrap();
        assert_eq!(data.rows.len(), count, "{file}");
        let rows: Vec<_> = data.rows.iter().collect();
        for (row, rendered) in rows.iter().zip(renderer.examples(&rows, limit, 0.0)) {
            let Rendered::Row { ids, weights, .. } = rendered.unwrap() else {
                panic!("{file}:{} is dropped", row.line);
            };
            let [begin, end] = [1, 2].map(|id| positions(&ids, id));
            assert_eq!(begin, [0], "{file}:{}", row.line);
            assert_eq!(end.len(), turns(&row.content), "{file}:{}", row.line);
            assert!(end.iter().all(|at| weights[*at] == 1.0));
        }
    }
}

fn positions(ids: &[u32], id: u32) -> Vec<usize> {
    let all = ids.iter().enumerate();
    all.filter(|(_, other)| **other == id)
        .map(|(at, _)| at)
        .collect()
}

/// How many turns are learned.
fn turns(content: &Content) -> usize {
    match content {
        Content::Chat { messages, .. } => messages.iter().filter(|m| m.is_target()).count(),
        Content::Text(_) | Content::Completion { .. } => 1,
    }
}
