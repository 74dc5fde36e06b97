//! Prompts with completions and texts as rows of tokens with weights.

use std::fs;
use std::path::{Path, PathBuf};

use rekindle_data::{
    Content, Dropped, GenerationExample, Limit, Purpose, RenderError, Rendered, Renderer, Seeded,
    TextInput, TextTokenizer, Truncation,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const NO_LIMIT: Limit = Limit {
    max_length: 100_000,
    truncation: Truncation::Error,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A folder with the tokenizer of a fixture and these files of JSON.
fn folder(tokenizer: &str, files: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = fixture(tokenizer).join("tokenizer.json");
    fs::copy(from, folder.path().join("tokenizer.json")).unwrap();
    for (name, value) in files {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

fn open(folder: &Path) -> Result<(TextTokenizer, Renderer), RenderError> {
    let tokenizer = TextTokenizer::from_folder(folder).unwrap();
    let renderer = Renderer::open(folder, &tokenizer)?;
    Ok((tokenizer, renderer))
}

/// As GPT-2: one token for everything, and none before a text.
fn gpt2() -> (TextTokenizer, Renderer) {
    let token = "<|endoftext|>";
    let config = json!({"bos_token": token, "eos_token": token, "pad_token": token});
    open(folder("chat", &[("tokenizer_config.json", config)]).path()).unwrap()
}

/// As Llama: `<s>` before a text.
fn llama() -> (TextTokenizer, Renderer) {
    let config =
        json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true});
    open(folder("chat", &[("tokenizer_config.json", config)]).path()).unwrap()
}

fn completion(prompt: &str, completion: &str) -> GenerationExample {
    let content = Content::Completion {
        prompt: prompt.to_owned(),
        completion: completion.to_owned(),
    };
    GenerationExample { content, line: 1 }
}

fn text(text: &str) -> GenerationExample {
    let content = Content::Text(text.to_owned());
    GenerationExample { content, line: 1 }
}

fn row(renderer: &Renderer, example: &GenerationExample) -> (Vec<u32>, Vec<f32>) {
    match renderer.example(example, NO_LIMIT, 0.0).unwrap() {
        Rendered::Row {
            ids,
            weights,
            truncated: false,
        } => (ids, weights),
        other => panic!("no whole row: {other:?}"),
    }
}

fn targets(ids: &[u32], weights: &[f32]) -> Vec<u32> {
    let targets = ids.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    targets.map(|(id, _)| *id).collect()
}

fn plain(tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
    let input = TextInput::Single(text.to_owned());
    tokenizer.encode(&input, NO_LIMIT).unwrap().unwrap().ids
}

#[test]
fn the_sentiment_pair_is_concatenated_as_it_is() {
    let (tokenizer, renderer) = gpt2();
    let prompt = "Review: I love this product!\nSentiment:";
    let (ids, weights) = row(&renderer, &completion(prompt, " Positive"));
    assert_eq!(
        tokenizer.decode(&ids),
        format!("{prompt} Positive<|endoftext|>")
    );
    assert_eq!(
        tokenizer.decode(&targets(&ids, &weights)),
        " Positive<|endoftext|>"
    );
    assert_eq!(
        ids[..ids.len() - targets(&ids, &weights).len()],
        renderer.prompt(prompt).unwrap()
    );
}

#[test]
fn the_end_is_a_target_and_the_beginning_stands_once_in_every_row() {
    for (tokenizer, renderer, beginning) in [
        (gpt2().0, gpt2().1, None),
        (llama().0, llama().1, Some("<s>")),
    ] {
        let end = renderer.end_ids()[0];
        let mut random = Seeded::new(7, Purpose::Order, 0);
        for _ in 0..300 {
            let (prompt, answer) = (nasty(&mut random), nasty(&mut random) + "x");
            let (ids, weights) = row(&renderer, &completion(&prompt, &answer));
            let body = match beginning {
                Some(name) => {
                    assert_eq!(tokenizer.decode(&ids[..1]), name);
                    &ids[1..]
                }
                None => &ids[..],
            };
            let (last, body) = body.split_last().unwrap();
            assert_eq!((*last, weights[ids.len() - 1]), (end, 1.0));
            assert_eq!(tokenizer.decode(body), format!("{prompt}{answer}"));
            assert!(!body.contains(&ids[0]) || beginning.is_none());
            assert!(!body.contains(&end), "{prompt:?} {answer:?}");
            assert_eq!(weights[0], 0.0);
            // Targets are a tail that holds the completion, and no token more than that.
            let first = weights.iter().position(|weight| *weight == 1.0).unwrap();
            assert!(weights[first..].iter().all(|weight| *weight == 1.0));
            let tail = |from: usize| tokenizer.decode(&ids[from..ids.len() - 1]);
            let is_cut = |text: &str| text.contains('\u{fffd}');
            // The first token of all has nothing before it and is no target.
            let is_whole = first == 1 || tail(first).len() >= answer.len();
            assert!(is_whole || is_cut(&tail(first)), "{prompt:?} {answer:?}");
            let is_least = first + 1 == ids.len() || tail(first + 1).len() < answer.len();
            assert!(
                is_least || is_cut(&tail(first + 1)),
                "{prompt:?} {answer:?}"
            );
        }
    }
}

/// A text of pieces that tokenizers stumble over, special tokens spelled out among them.
fn nasty(random: &mut Seeded) -> String {
    const PIECES: [&str; 16] = [
        " ",
        "  ",
        "\n",
        "\n\n",
        "yes",
        " the",
        "<s>",
        "</s>",
        "<|endoftext|>",
        "<|im_end|>",
        "é",
        "你好",
        "👩‍👧",
        "\t",
        "assistant",
        "{{ x }}",
    ];
    let count = random.below(6);
    (0..count)
        .map(|_| PIECES[random.below(PIECES.len())])
        .collect()
}

#[test]
fn clean_texts_have_the_ids_of_the_tokenizer() {
    let (tokenizer, renderer) = gpt2();
    let mut random = Seeded::new(8, Purpose::Order, 0);
    for _ in 0..300 {
        let text = nasty(&mut random)
            .replace("<s>", "a")
            .replace("</s>", "b")
            .replace("<|", "(");
        assert_eq!(
            renderer.prompt(&text).unwrap(),
            plain(&tokenizer, &text),
            "{text:?}"
        );
    }
}

#[test]
fn a_token_across_the_boundary_is_a_target() {
    let (tokenizer, renderer) = gpt2();
    // Together these are ` as` and `sistant`, whatever the halves alone would be.
    let (ids, weights) = row(&renderer, &completion("a: assist", "ant"));
    assert_eq!(ids, row(&renderer, &completion("a: ", "assistant")).0);
    assert_eq!(
        tokenizer.decode(&targets(&ids, &weights)),
        "sistant<|endoftext|>"
    );
}

#[test]
fn a_text_is_all_target_between_beginning_and_end() {
    let (tokenizer, renderer) = llama();
    let (ids, weights) = row(&renderer, &text("One day."));
    assert_eq!(tokenizer.decode(&ids), "<s>One day.</s>");
    assert_eq!(weights[0], 0.0);
    assert!(weights[1..].iter().all(|weight| *weight == 1.0));
    // Nothing comes before the first token here.
    let (ids, weights) = row(&gpt2().1, &text("One day."));
    assert_eq!(
        weights.iter().filter(|weight| **weight == 1.0).count(),
        ids.len() - 1
    );
}

#[test]
fn the_prompt_weighs_what_it_is_given() {
    let (_, renderer) = llama();
    let example = completion("one two three ", "four");
    let Rendered::Row { ids, weights, .. } = renderer.example(&example, NO_LIMIT, 0.5).unwrap()
    else {
        panic!("no row");
    };
    let (_, zero) = row(&renderer, &example);
    assert_eq!((weights[0], weights.len()), (0.0, ids.len()));
    for (weight, zero) in weights.iter().zip(&zero).skip(1) {
        assert_eq!(*weight, if *zero == 1.0 { 1.0 } else { 0.5 });
    }
}

/// A row of Llama whose answer has at least three tokens.
fn long() -> GenerationExample {
    completion("one two three", " 4567")
}

fn cut(max_length: usize, truncation: Truncation) -> Result<Rendered, RenderError> {
    let limit = Limit {
        max_length,
        truncation,
    };
    llama().1.example(&long(), limit, 0.0)
}

fn cut_row(max_length: usize, truncation: Truncation) -> (Vec<u32>, Vec<f32>) {
    match cut(max_length, truncation).unwrap() {
        Rendered::Row {
            ids,
            weights,
            truncated: true,
        } => (ids, weights),
        other => panic!("no cut row: {other:?}"),
    }
}

#[test]
fn a_long_row_loses_its_end_or_what_follows_its_beginning() {
    let (tokenizer, renderer) = llama();
    let (whole, weights) = row(&renderer, &long());
    let (length, count) = (whole.len(), targets(&whole, &weights).len());
    let (ids, weights) = cut_row(length - 2, Truncation::Right);
    assert_eq!(ids, whole[..length - 2]);
    assert_eq!(targets(&ids, &weights).len(), count - 2);
    let (ids, weights) = cut_row(length - 2, Truncation::Left);
    assert_eq!(tokenizer.decode(&ids[..1]), "<s>");
    assert_eq!(ids[1..], whole[3..]);
    assert_eq!(targets(&ids, &weights).len(), count);
}

#[test]
fn a_long_row_may_be_dropped_or_refused() {
    let (whole, weights) = row(&llama().1, &long());
    let (length, count) = (whole.len(), targets(&whole, &weights).len());
    let all = [
        Truncation::Right,
        Truncation::Left,
        Truncation::Drop,
        Truncation::Error,
    ];
    for truncation in all {
        let rendered = cut(length, truncation).unwrap();
        let is_whole = matches!(
            rendered,
            Rendered::Row {
                truncated: false,
                ..
            }
        );
        assert!(is_whole, "{rendered:?}");
    }
    assert_eq!(
        cut(length - 1, Truncation::Drop).unwrap(),
        Rendered::Dropped(Dropped::TooLong)
    );
    assert_eq!(
        cut(length - 1, Truncation::Error).unwrap_err().to_string(),
        format!("the row has {length} tokens, the limit is {}", length - 1)
    );
    let without_target = Rendered::Dropped(Dropped::NoTarget);
    for max_length in 0..=length - count {
        assert_eq!(cut(max_length, Truncation::Right).unwrap(), without_target);
    }
    assert_eq!(cut(1, Truncation::Left).unwrap(), without_target);
}

#[test]
fn the_beginning_comes_from_the_configuration_or_the_tokenizer() {
    let config =
        |add: Value| json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": add});
    let prompt = |tokenizer: &str, add| {
        let folder = folder(tokenizer, &[("tokenizer_config.json", config(add))]);
        let (tokenizer, renderer) = open(folder.path()).unwrap();
        tokenizer.decode(&renderer.prompt("a").unwrap())
    };
    // Its post-processor puts `<s>` before a text and `</s>` behind it.
    assert_eq!(prompt("byte-level", Value::Null), "<s>a");
    assert_eq!(prompt("byte-level", json!(true)), "<s>a");
    assert_eq!(prompt("byte-level", json!(false)), "a");
    assert_eq!(prompt("chat", Value::Null), "a");
    assert_eq!(prompt("chat", json!(true)), "<s>a");
}

#[test]
fn all_files_name_tokens_that_end_an_answer() {
    let files = [
        ("tokenizer_config.json", json!({"eos_token": "</s>"})),
        ("generation_config.json", json!({"eos_token_id": [18, 5]})),
        ("config.json", json!({"eos_token_id": 7})),
    ];
    let folder = folder("chat", &files);
    let (tokenizer, renderer) = open(folder.path()).unwrap();
    assert_eq!(tokenizer.decode(&renderer.end_ids()[..1]), "</s>");
    assert_eq!(renderer.end_ids()[1..], [18, 5, 7]);
}

#[test]
fn ids_of_the_configuration_stand_in_for_names() {
    let (tokenizer, _) = gpt2();
    let id = tokenizer.highest_id();
    let files = [(
        "config.json",
        json!({"eos_token_id": id, "bos_token_id": id}),
    )];
    let (_, renderer) = open(folder("chat", &files).path()).unwrap();
    assert_eq!(renderer.end_ids(), [id]);
}

#[test]
fn a_model_that_never_ends_is_refused() {
    let error = open(folder("chat", &[]).path()).unwrap_err();
    assert!(matches!(error, RenderError::NoEnd { .. }), "{error}");
    assert!(error.hint().unwrap().contains("`eos_token`"));
    let config = json!({"eos_token": "<never>"});
    let error = open(folder("chat", &[("tokenizer_config.json", config)]).path()).unwrap_err();
    assert!(
        error.to_string().contains("names the token `<never>`"),
        "{error}"
    );
}

#[test]
fn noncharacters_are_refused() {
    let (_, renderer) = gpt2();
    let error = renderer.prompt("a\u{fdd1}b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text holds U+FDD1, which is no character"
    );
}

#[test]
fn a_spelled_token_that_the_model_makes_special_is_refused() {
    // A unigram model has its special tokens in the vocabulary of texts.
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
    let (_, renderer) =
        open(folder("unigram", &[("tokenizer_config.json", config)]).path()).unwrap();
    let error = renderer.prompt("the </s>").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tokenizer makes the special token `</s>` of a text that only spells it"
    );
    assert!(renderer.prompt("the \u{1f600} film").is_ok());
}

#[test]
fn pieces_of_an_answer_are_its_text() {
    for (_, renderer) in [gpt2(), llama()] {
        let prompt = renderer.prompt("a:").unwrap();
        for text in [" yes, the 你好 👩‍👧 é\n\nend ", "é", "", "   "] {
            let ids = renderer.prompt(text).unwrap();
            let ids = &ids[renderer.prompt("").unwrap().len()..];
            let mut decoder = renderer.decoder(&prompt);
            let pieces: Vec<String> = ids.iter().map(|id| decoder.push(*id)).collect();
            assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
            assert_eq!(pieces.concat() + &decoder.finish(), text);
            assert_eq!(renderer.decode(ids), text);
        }
    }
}

#[test]
fn an_answer_that_ends_within_a_character_is_told_as_it_is() {
    let (_, renderer) = gpt2();
    let ids = renderer.prompt("ok 👧").unwrap();
    let mut decoder = renderer.decoder(&[]);
    let ids = &ids[..ids.len() - 1];
    let text: String = ids.iter().map(|id| decoder.push(*id)).collect();
    assert_eq!(text, "ok ");
    assert!(decoder.finish().starts_with('\u{fffd}'));
}

#[test]
fn the_space_before_an_answer_is_kept_where_words_carry_it() {
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": true});
    let (_, renderer) =
        open(folder("unigram", &[("tokenizer_config.json", config)]).path()).unwrap();
    let prompt = renderer.prompt("the").unwrap();
    let whole = renderer.prompt("the film").unwrap();
    let mut decoder = renderer.decoder(&prompt);
    let pieces: String = whole[prompt.len()..]
        .iter()
        .map(|id| decoder.push(*id))
        .collect();
    assert_eq!(pieces, " film");
}

#[test]
fn texts_and_their_frame_are_the_row_of_a_text() {
    let texts = ["a small room", "it spells <s> and </s>", " "];
    for (_, renderer) in [gpt2(), llama()] {
        let (before, after) = renderer.frame();
        for (content, ids) in texts.iter().zip(renderer.texts(&texts)) {
            let framed = [before, &ids.unwrap(), &[after]].concat();
            assert_eq!(framed, row(&renderer, &text(content)).0, "{content}");
        }
    }
}

#[test]
fn a_renderer_is_known_by_all_that_decides_the_tokens_of_a_text() {
    // The frame decides nothing of the text in it; what is a special token does.
    assert_eq!(gpt2().1.digest(), llama().1.digest());
    let config = json!({"eos_token": "</s>", "mask_token": "content"});
    let named = folder("chat", &[("tokenizer_config.json", config)]);
    assert_ne!(gpt2().1.digest(), open(named.path()).unwrap().1.digest());
}
