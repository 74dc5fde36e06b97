//! Chats equal those of transformers (`chat_reference.py`), targets those marked by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rekindle_data::{
    Content, GenerationExample, Limit, Message, RenderError, Rendered, Renderer, Role,
    TextTokenizer, Truncation,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const NO_LIMIT: Limit = Limit {
    max_length: 100_000,
    truncation: Truncation::Error,
};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn reference() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("chats.json")).unwrap()).unwrap()
}

fn folder(config: &Value, template: Option<&str>) -> TempDir {
    folder_of("chat", config, template)
}

fn folder_of(tokenizer: &str, config: &Value, template: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let from = fixtures().with_file_name(tokenizer).join("tokenizer.json");
    fs::copy(from, path("tokenizer.json")).unwrap();
    fs::write(path("tokenizer_config.json"), config.to_string()).unwrap();
    if let Some(template) = template {
        fs::write(path("chat_template.jinja"), template).unwrap();
    }
    folder
}

fn renderer(config: &Value, template: Option<&str>) -> Renderer {
    open(&folder(config, template))
}

fn open(folder: &TempDir) -> Renderer {
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    Renderer::open(folder.path(), &tokenizer).unwrap()
}

fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_folder(&fixtures()).unwrap()
}

fn families(reference: &Value) -> BTreeMap<String, Renderer> {
    let families = reference["families"].as_object().unwrap().iter();
    families
        .map(|(family, tokens)| {
            let path = fixtures().join(format!("templates/{family}.jinja"));
            let template = fs::read_to_string(path).unwrap();
            let config = json!({"bos_token": tokens["bos"], "eos_token": tokens["eos"]});
            (family.clone(), renderer(&config, Some(&template)))
        })
        .collect()
}

fn message(value: &Value, weight: Option<&Value>) -> Message {
    Message {
        role: value["role"].as_str().unwrap().parse().unwrap(),
        fields: value.as_object().unwrap().clone(),
        weight: weight != Some(&json!(0)),
    }
}

/// Messages and tools of a conversation.
fn conversation(reference: &Value, name: &str) -> (Vec<Message>, Option<Value>) {
    let all = reference["conversations"].as_array().unwrap();
    let found = all.iter().find(|other| other["name"] == name).unwrap();
    let messages = found["messages"].as_array().unwrap().iter().enumerate();
    let messages = messages.map(|(k, value)| message(value, found["weights"].get(k)));
    let tools = Some(found["tools"].clone()).filter(|tools| !tools.is_null());
    (messages.collect(), tools)
}

fn example((messages, tools): (Vec<Message>, Option<Value>)) -> GenerationExample {
    let content = Content::Chat { messages, tools };
    GenerationExample { content, line: 1 }
}

fn chat(texts: &[(Role, &str)]) -> GenerationExample {
    let messages = texts.iter().map(|(role, text)| Message::new(*role, *text));
    example((messages.collect(), None))
}

fn row(rendered: Rendered) -> (Vec<u32>, Vec<f32>) {
    let Rendered::Row {
        ids,
        weights,
        truncated: false,
    } = rendered
    else {
        panic!("no whole row: {rendered:?}");
    };
    assert_eq!(ids.len(), weights.len());
    (ids, weights)
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The text of tokens, with the runs of targets in brackets.
fn marked(ids: &[u32], weights: &[f32]) -> String {
    let tokenizer = tokenizer();
    let mut text = String::new();
    for run in weights
        .iter()
        .zip(ids)
        .collect::<Vec<_>>()
        .chunk_by(|a, b| a.0 == b.0)
    {
        let ids: Vec<u32> = run.iter().map(|(_, id)| **id).collect();
        let part = tokenizer.decode(&ids);
        let is_target = *run[0].0 == 1.0;
        text += &if is_target {
            format!("⟦{part}⟧")
        } else {
            part
        };
    }
    text
}

/// The text without the line break that the token before it takes in.
fn decodable(text: &str) -> String {
    text.replace("<|end|>\n", "<|end|>")
        .replace("<|end|>⟧\n", "<|end|>⟧")
}

#[test]
fn chats_are_those_of_transformers() {
    let reference = reference();
    let families = families(&reference);
    for case in reference["cases"].as_array().unwrap() {
        let family = case["family"].as_str().unwrap();
        let name = case["conversation"].as_str().unwrap();
        let renderer = &families[family];
        let (messages, tools) = conversation(&reference, name);
        let example = example((messages.clone(), tools.clone()));
        let found = renderer.example(&example, NO_LIMIT, 0.0);
        if let Some(refused) = case.get("refused") {
            match found.unwrap_err() {
                RenderError::Refused { message } => assert_eq!(refused, &message),
                error => assert!(matches!(error, RenderError::Chat { .. }), "{error:?}"),
            }
            continue;
        }
        let (ids, _) = row(found.unwrap());
        let text = case["text"].as_str().unwrap();
        assert_eq!(
            tokenizer().decode(&ids),
            decodable(text),
            "{family}: {name}"
        );
        let prompt = renderer
            .chat(&messages[..messages.len() - 1], tools.as_ref())
            .unwrap();
        if name != "lookalike" {
            assert_eq!(ids, numbers(&case["ids"]), "{family}: {name}");
            assert_eq!(prompt, numbers(&case["prompt"]), "{family}: {name}");
        }
    }
}

#[test]
fn chats_are_those_of_transformers_where_spaces_belong_to_words() {
    let reference = reference();
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
    let cases = reference["pieces"].as_array().unwrap();
    assert_eq!(cases.len(), 19);
    for case in cases {
        let path = format!("templates/{}.jinja", case["family"].as_str().unwrap());
        let template = fs::read_to_string(fixtures().join(path)).unwrap();
        let renderer = open(&folder_of("chat-pieces", &config, Some(&template)));
        let name = case["conversation"].as_str().unwrap();
        let (messages, _) = conversation(&reference, name);
        let prompt = renderer.chat(&messages[..messages.len() - 1], None);
        assert_eq!(prompt.unwrap(), numbers(&case["prompt"]), "{case}");
        let found = renderer.example(&example((messages, None)), NO_LIMIT, 0.0);
        assert_eq!(row(found.unwrap()).0, numbers(&case["ids"]), "{case}");
    }
}

#[test]
fn targets_are_those_marked_by_hand() {
    let reference = reference();
    let families = families(&reference);
    let text = fs::read_to_string(fixtures().join("marked.txt")).unwrap();
    let mut count = 0;
    for part in text.strip_prefix("== ").unwrap().split("\n== ") {
        let (title, expected) = part.split_once('\n').unwrap();
        let (family, name) = title.split_once(": ").unwrap();
        let example = example(conversation(&reference, name));
        let (ids, weights) = row(families[family].example(&example, NO_LIMIT, 0.0).unwrap());
        let expected = decodable(expected);
        let expected = expected.trim_end_matches('\n');
        let found = marked(&ids, &weights);
        assert_eq!(found.trim_end_matches('\n'), expected, "{title}");
        count += 1;
    }
    assert_eq!(count, 27);
}

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn eos() -> Value {
    json!({"eos_token": "<|im_end|>"})
}

#[test]
fn texts_that_spell_special_tokens_stay_texts() {
    let reference = reference();
    let tokenizer = tokenizer();
    let special = |ids: &[u32]| {
        let is_special = |id: &&u32| tokenizer.decode(&[**id]).len() > 2 && **id < 400;
        let names = [
            "<|", "[INST]", "[/INST]", "<s>", "</s>", "<bos>", "<start", "<end",
        ];
        let texts = ids
            .iter()
            .filter(is_special)
            .map(|id| tokenizer.decode(&[*id]));
        texts
            .filter(|text| names.iter().any(|name| text.starts_with(name)))
            .count()
    };
    for (family, renderer) in families(&reference) {
        let plain = renderer.example(&example(conversation(&reference, "single")), NO_LIMIT, 0.0);
        let spelled = example(conversation(&reference, "lookalike"));
        let spelled = renderer.example(&spelled, NO_LIMIT, 0.0);
        let (plain, spelled) = (row(plain.unwrap()).0, row(spelled.unwrap()).0);
        assert_eq!(special(&plain), special(&spelled), "{family}");
        let begins = |ids: &[u32]| ids.iter().filter(|id| **id == ids[0]).count();
        assert_eq!(begins(&plain), begins(&spelled), "{family}");
    }
}

#[test]
fn tools_that_spell_special_tokens_stay_texts() {
    let renderer = renderer(
        &eos(),
        Some("{{ tools | tojson }}{{ messages[0].content }}<|im_end|>"),
    );
    let tools = json!([{"name</s>": "a<|im_end|>"}]);
    let messages = vec![Message::new(Role::Assistant, "b")];
    let (ids, _) = row(renderer
        .example(&example((messages, Some(tools))), NO_LIMIT, 0.0)
        .unwrap());
    let end = renderer.end_ids()[0];
    assert_eq!(ids.iter().filter(|id| **id == end).count(), 1);
    let texts: Vec<String> = ids.iter().map(|id| tokenizer().decode(&[*id])).collect();
    assert!(!texts.contains(&"</s>".to_owned()));
    assert_eq!(
        tokenizer().decode(&ids),
        "[{\"name</s>\": \"a<|im_end|>\"}]b<|im_end|>"
    );
}

#[test]
fn a_message_that_the_template_leaves_out_is_an_error() {
    let template = "{% for m in messages if m.role != 'developer' %}{{ m.role + m.content + '<|im_end|>' }}\
        {% endfor %}";
    let renderer = renderer(&eos(), Some(template));
    let chat = chat(&[
        (Role::Developer, "be brief"),
        (Role::User, "a"),
        (Role::Assistant, "b"),
    ]);
    let error = renderer.example(&chat, NO_LIMIT, 0.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the chat template leaves out message 1, of role `developer`"
    );
    assert_eq!(error.hint().unwrap(), "use the role `system`");
}

#[test]
fn the_template_s_own_words_tell_why_it_refuses() {
    let renderer = renderer(
        &eos(),
        Some("{{ raise_exception('no ' ~ messages[0].role ~ ' here') }}"),
    );
    let error = renderer
        .example(&chat(&[(Role::Assistant, "a")]), NO_LIMIT, 0.0)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the chat template refuses the messages: `no assistant here`"
    );
}

#[test]
fn turns_are_found_where_a_prompt_is_not_continued() {
    // The generation prompt opens thoughts that the whole chat does not have.
    let template = CHATML.replace(
        "assistant\n' }}{% endif",
        "assistant\n<think>\n' }}{% endif",
    );
    let renderer = renderer(&eos(), Some(&template));
    let (ids, weights) = row(renderer
        .example(
            &chat(&[
                (Role::User, "yes"),
                (Role::Assistant, "yes"),
                (Role::User, "yes"),
                (Role::Assistant, "yes"),
            ]),
            NO_LIMIT,
            0.0,
        )
        .unwrap());
    assert_eq!(
        marked(&ids, &weights),
        "<|im_start|>user\nyes<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧\n\
         <|im_start|>user\nyes<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧\n"
    );
}

#[test]
fn a_turn_that_cannot_be_traced_is_an_error_that_names_it() {
    // Neither the prompt nor the content can be found again in this.
    let template = "{{ messages | length }}{% for m in messages %}{{ m.content | upper | replace('A', 'AA') }}\
        {{ m.content | lower }}{% endfor %}";
    let renderer = renderer(&eos(), Some(template));
    let error = renderer
        .example(
            &chat(&[(Role::User, "a"), (Role::Assistant, "b")]),
            NO_LIMIT,
            0.0,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot tell where message 2 begins in what the chat template writes"
    );
    assert!(error.hint().unwrap().contains("`prompt` and `completion`"));
}

#[test]
fn a_content_that_the_template_looks_at_hides_no_other() {
    // No prompt is the beginning of such a chat, and what begins with `!` is written otherwise.
    let template = "{{ messages | length }}{% for m in messages %}{% if m.content.startswith('!') %}\
        {{ '<|im_start|>' + m.content[1:] }}{% else %}{{ '<|im_start|>said ' + m.content }}{% endif %}\
        {{ '<|im_end|>' }}{% endfor %}";
    let renderer = renderer(&eos(), Some(template));
    let chat = chat(&[
        (Role::User, "!a"),
        (Role::Assistant, "b"),
        (Role::User, "c"),
        (Role::Assistant, "d"),
        (Role::User, "e"),
        (Role::Assistant, "f"),
    ]);
    let (ids, weights) = row(renderer.example(&chat, NO_LIMIT, 0.0).unwrap());
    assert_eq!(
        marked(&ids, &weights),
        "6<|im_start|>a<|im_end|><|im_start|>said ⟦b<|im_end|>⟧<|im_start|>said c<|im_end|>\
         <|im_start|>said ⟦d<|im_end|>⟧<|im_start|>said e<|im_end|><|im_start|>said ⟦f<|im_end|>⟧"
    );
}

#[test]
fn the_end_of_a_tool_call_is_not_that_of_the_answer_of_the_tool() {
    // Calls end with a token that is no end token here, and only they do.
    let template = "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% if m.tool_calls %}\
        {{ m.tool_calls | tojson + '<s>' }}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}";
    let renderer = renderer(&eos(), Some(template));
    let mut call = Message::new(Role::Assistant, "");
    call.fields.insert("tool_calls".to_owned(), json!(["f"]));
    let messages = vec![
        Message::new(Role::User, "q"),
        call,
        Message::new(Role::Tool, "r"),
        Message::new(Role::Assistant, "a"),
    ];
    let (ids, weights) = row(renderer
        .example(&example((messages, None)), NO_LIMIT, 0.0)
        .unwrap());
    assert_eq!(
        marked(&ids, &weights),
        "<|im_start|>userq<|im_end|><|im_start|>⟦assistant[\"f\"]<s>⟧<|im_start|>toolr<|im_end|>\
         <|im_start|>⟦assistanta<|im_end|>⟧"
            .replace("<|im_start|>⟦", "⟦<|im_start|>")
    );
}

#[test]
fn an_answer_that_no_token_ends_gets_the_end_of_a_text() {
    let renderer = renderer(
        &eos(),
        Some("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"),
    );
    let (ids, weights) = row(renderer
        .example(
            &chat(&[(Role::User, "a"), (Role::Assistant, "b")]),
            NO_LIMIT,
            0.0,
        )
        .unwrap());
    assert_eq!(
        marked(&ids, &weights),
        "user: a\n⟦assistant: b\n<|im_end|>⟧"
    );
}

#[test]
fn what_is_given_may_weigh_and_what_is_passed_over_may_not() {
    let renderer = renderer(&eos(), Some(CHATML));
    let mut chat = chat(&[
        (Role::User, "a"),
        (Role::Assistant, "wrong"),
        (Role::User, "b"),
        (Role::Assistant, "right"),
    ]);
    let Content::Chat { messages, .. } = &mut chat.content else {
        panic!("not a chat");
    };
    messages[1].weight = false;
    let (ids, weights) = row(renderer.example(&chat, NO_LIMIT, 0.25).unwrap());
    let of = |weight: f32| -> String {
        let ids: Vec<u32> = ids
            .iter()
            .zip(&weights)
            .filter(|(_, w)| **w == weight)
            .map(|(id, _)| *id)
            .collect();
        tokenizer().decode(&ids)
    };
    assert_eq!(of(1.0), "right<|im_end|>");
    // The first token is predicted by nothing.
    assert_eq!(of(0.0), "<|im_start|>wrong<|im_end|>");
    assert!(of(0.25).ends_with("<|im_start|>assistant\n\n"));
}

#[test]
fn models_without_a_template_speak_in_paragraphs() {
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true});
    let renderer = renderer(&config, None);
    assert!(!renderer.has_chat_template());
    let example = chat(&[
        (Role::System, "Be brief."),
        (Role::User, "Sky?"),
        (Role::Assistant, "Blue."),
        (Role::User, "</s>?"),
        (Role::Assistant, " No. "),
    ]);
    let (ids, weights) = row(renderer.example(&example, NO_LIMIT, 0.0).unwrap());
    assert_eq!(
        marked(&ids, &weights),
        "<s>System: Be brief.\n\nUser: Sky?\n\nAssistant:⟦ Blue.</s>⟧\n\n\
         User: </s>?\n\nAssistant:⟦ No.</s>⟧\n\n"
    );
    let prompt = renderer
        .chat(&[Message::new(Role::User, "Sky?")], None)
        .unwrap();
    assert_eq!(tokenizer().decode(&prompt), "<s>User: Sky?\n\nAssistant:");
}

#[test]
fn the_template_that_goes_first_is_that_of_its_own_file() {
    let mut config = eos();
    config["chat_template"] = json!([
        {"name": "tool_use", "template": "tool"},
        {"name": "default", "template": "default"},
    ]);
    let ids = renderer(&config, None).chat(&[], None).unwrap();
    assert_eq!(tokenizer().decode(&ids), "default");
    let ids = renderer(&config, Some("file")).chat(&[], None).unwrap();
    assert_eq!(tokenizer().decode(&ids), "file");
    config["chat_template"] = json!("one");
    let ids = renderer(&config, None).chat(&[], None).unwrap();
    assert_eq!(tokenizer().decode(&ids), "one");
}

#[test]
fn a_template_that_is_none_names_its_file() {
    let folder = folder(&eos(), Some("{% for %}"));
    let error = Renderer::open(folder.path(), &tokenizer()).unwrap_err();
    assert!(error.to_string().contains("chat_template.jinja"), "{error}");
}

#[test]
fn the_time_is_that_of_python() {
    let renderer = renderer(
        &eos(),
        Some("{{ strftime_now('%Y') | int > 2000 }} {{ strftime_now('%d %b %Y') | length }}"),
    );
    let ids = renderer.chat(&[], None).unwrap();
    assert_eq!(tokenizer().decode(&ids), "True 11");
}

#[test]
fn an_answer_ends_where_the_template_ends_a_turn() {
    let families = families(&reference());
    for (family, names) in [
        ("llama3", vec!["<|eot_id|>"]),
        ("mistral", vec!["</s>"]),
        ("qwen3", vec!["<|im_end|>"]),
        ("gemma", vec!["<eos>", "<end_of_turn>"]),
        ("phi3", vec!["<|endoftext|>", "<|end|>"]),
    ] {
        let ids = families[family].end_ids().iter();
        let found: Vec<String> = ids.map(|id| tokenizer().decode(&[*id])).collect();
        assert_eq!(found, names, "{family}");
    }
}
