//! The engine with a model whose answers are known: batches, ends, streams.

use std::ops::ControlFlow;

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, backend::Backend};
use burn_flex::{Flex, FlexDevice};
use rekindle_generate::{Answer, End, Engine, GenerateError, Options, Piece, Prompt, Sampling};
use rekindle_nn::{
    CausalLm, Depth, Heads, LanguageModel, LayerCache, Linear, Model, ParameterPath, Place, Sight,
    Slots, TrainBackend,
};

use crate::ascii::{END, VOCABULARY, renderer};

/// Tokens that the model reads.
const POSITIONS: usize = 32;

/// Looks at the last token and its position alone.
#[derive(Module, Debug)]
struct Table<B: Backend> {
    /// Logits after each token, `[V, V]`.
    after: Param<Tensor<B, 2>>,
    /// Logits at each position, `[positions, V]`.
    at: Param<Tensor<B, 2>>,
}

impl<B: Backend> Model<B> for Table<B> {
    fn num_blocks(&self) -> usize {
        1
    }

    fn depth(&self, _path: &ParameterPath) -> Depth {
        Depth::Embeddings
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        Vec::new()
    }
}

impl<B: TrainBackend> LanguageModel<B> for Table<B> {
    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn project(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        hidden
    }
}

impl<B: TrainBackend> CausalLm<B> for Table<B> {
    fn heads(&self) -> Heads {
        Heads {
            queries: 1,
            keys: 1,
            size: 1,
            sight: Sight::Causal { window: None },
        }
    }

    fn place(&self, slots: Slots, _device: &B::Device) -> Place<B> {
        Place::new(slots, None)
    }

    fn embed(&self, ids: Tensor<B, 1, Int>, place: &Place<B>) -> Tensor<B, 2> {
        let positions = place.slots.positions();
        assert!(positions.iter().all(|&position| position < POSITIONS));
        let positions: Vec<i32> = positions.into_iter().map(|p| p as i32).collect();
        let positions = Tensor::from_data(positions.as_slice(), &ids.device());
        self.after.val().select(0, ids) + self.at.val().select(0, positions)
    }

    fn block(
        &self,
        _index: usize,
        hidden: Tensor<B, 2>,
        place: &Place<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        assert!(matches!(place.slots, Slots::Columns(_)) && cache.is_some());
        hidden
    }

    fn norm(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        hidden
    }
}

/// A model that writes each byte after the one before it in `circle`, and a dot at a position.
fn model(circle: &str, dot: Option<usize>) -> Table<Flex> {
    let mut after = vec![0.0_f32; VOCABULARY * VOCABULARY];
    let bytes = circle.as_bytes();
    for (byte, next) in bytes.iter().zip(bytes.iter().cycle().skip(1)) {
        after[usize::from(*byte) * VOCABULARY + usize::from(*next)] = 1.0;
    }
    let mut at = vec![0.0_f32; POSITIONS * VOCABULARY];
    if let Some(position) = dot {
        at[position * VOCABULARY + usize::from(END)] = 9.0;
    }
    let tensor = |values: &[f32], rows: usize| {
        let flat = Tensor::<Flex, 1>::from_floats(values, &FlexDevice);
        Param::from_tensor(flat.reshape([rows, VOCABULARY]))
    };
    Table {
        after: tensor(&after, VOCABULARY),
        at: tensor(&at, POSITIONS),
    }
}

fn prompt(text: &str, max_tokens: usize) -> Prompt {
    Prompt {
        ids: text.bytes().map(u32::from).collect(),
        number: 0,
        max_tokens,
    }
}

fn try_answer(
    model: &Table<Flex>,
    options: &Options,
    prompts: &[Prompt],
) -> Result<Vec<Answer>, GenerateError> {
    let renderer = renderer();
    let mut pieces = vec![String::new(); prompts.len()];
    let engine = Engine {
        model,
        device: &FlexDevice,
        positions: POSITIONS,
        renderer: &renderer,
        options,
    };
    let answers = engine.answer(prompts, &mut |Piece { row, text }| {
        pieces[row] += text;
        ControlFlow::Continue(())
    })?;
    for (answer, streamed) in answers.iter().zip(&pieces) {
        assert_eq!(
            &answer.text, streamed,
            "what is streamed is what is returned"
        );
    }
    Ok(answers)
}

fn answer(model: &Table<Flex>, options: &Options, prompts: &[Prompt]) -> Vec<Answer> {
    try_answer(model, options, prompts).unwrap()
}

#[test]
fn an_answer_ends_at_its_length() {
    let answers = answer(
        &model("abcd", None),
        &Options::default(),
        &[prompt("ab", 5)],
    );
    assert_eq!(answers[0].text, "cdabc");
    assert_eq!(answers[0].ids, prompt("cdabc", 1).ids);
    assert_eq!(answers[0].end, End::Length);
}

#[test]
fn an_end_token_ends_an_answer_and_is_not_in_its_text() {
    let answers = answer(
        &model("abcd", Some(3)),
        &Options::default(),
        &[prompt("ab", 20)],
    );
    assert_eq!(answers[0].text, "cd");
    assert_eq!(answers[0].ids, prompt("cd.", 1).ids);
    assert_eq!(answers[0].end, End::Token);
    let last = answer(
        &model("abcd", Some(3)),
        &Options::default(),
        &[prompt("ab", 3)],
    );
    assert_eq!(last, answers, "an end token in the last place is one");
}

#[test]
fn a_stop_string_over_tokens_is_cut_off() {
    let options = Options {
        stop: vec!["zz".to_owned(), "dab".to_owned()],
        ..Options::default()
    };
    let answers = answer(&model("abcd", None), &options, &[prompt("ab", 20)]);
    assert_eq!(answers[0].text, "c");
    assert_eq!(answers[0].end, End::StopString);
    assert_eq!(answers[0].ids, prompt("cdab", 1).ids);
}

#[test]
fn the_beginning_of_a_stop_string_is_told_at_the_end() {
    let options = Options {
        stop: vec!["dax".to_owned()],
        ..Options::default()
    };
    let answers = answer(&model("abcd", None), &options, &[prompt("ab", 3)]);
    assert_eq!(answers[0].text, "cda");
    assert_eq!(answers[0].end, End::Length);
}

/// Prompts of several lengths whose answers end one after the other.
fn ragged() -> Vec<Prompt> {
    let texts = ["a", "abcd", "bc", "dabcdab", "c"];
    let rows = texts.into_iter().zip([9, 2, 6, 25, 1]).enumerate();
    rows.map(|(number, (text, max_tokens))| Prompt {
        number: number as u64,
        ..prompt(text, max_tokens)
    })
    .collect()
}

#[test]
fn a_batch_answers_as_each_row_alone() {
    let random = Options {
        sampling: Sampling {
            temperature: 0.5,
            ..Sampling::default()
        },
        ..Options::default()
    };
    for options in [Options::default(), random] {
        for dot in [None, Some(8)] {
            let model = model("abcd", dot);
            let together = answer(&model, &options, &ragged());
            let alone = ragged()
                .into_iter()
                .flat_map(|prompt| answer(&model, &options, &[prompt]));
            assert_eq!(together, alone.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_row_that_has_ended_reads_no_further() {
    // 28 + 4 and 2 + 30 tokens fill the model; the first would pass its last position.
    let prompts = [prompt(&"abcd".repeat(7), 4), prompt("ab", 30)];
    let answers = answer(&model("abcd", None), &Options::default(), &prompts);
    assert_eq!(answers[0].text, "abcd");
    assert_eq!(answers[1].ids.len(), 30);
}

#[test]
fn the_seed_decides() {
    let answers = |seed| {
        let sampling = Sampling {
            temperature: 1.0,
            seed,
            ..Sampling::default()
        };
        let options = Options {
            sampling,
            ..Options::default()
        };
        answer(&model("abcd", None), &options, &[prompt("ab", 20)])
    };
    assert_eq!(answers(1), answers(1));
    assert_ne!(answers(1), answers(2));
}

#[test]
fn a_repetition_penalty_leaves_the_circle() {
    let sampling = Sampling {
        repetition_penalty: 1e9,
        ..Sampling::default()
    };
    let options = Options {
        sampling,
        ..Options::default()
    };
    let answers = answer(&model("abcd", None), &options, &[prompt("a", 4)]);
    // After `d` comes `a`, which stands in the prompt: far down, but still above all others.
    assert_eq!(answers[0].text, "bcda");
}

#[test]
fn the_watcher_can_break_off() {
    let model = model("abcd", None);
    let options = Options {
        stop: vec!["ab!".to_owned()],
        ..Options::default()
    };
    let engine = Engine {
        model: &model,
        device: &FlexDevice,
        positions: POSITIONS,
        renderer: &renderer(),
        options: &options,
    };
    let mut calls = 0;
    let answers = engine.answer(&[prompt("ab", 20), prompt("b", 2)], &mut |_| {
        calls += 1;
        match calls {
            6 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    let answers = answers.unwrap();
    // The first row wrote four tokens, the last two of which might have been a stop string.
    assert_eq!(answers[0].text, "cdab");
    assert_eq!(answers[0].end, End::Cancelled);
    assert_eq!(answers[1].end, End::Length);
    assert_eq!(calls, 6);
}

fn refusal(options: &Options, prompts: &[Prompt]) -> (String, String) {
    let error = try_answer(&model("abcd", None), options, prompts).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default())
}

#[test]
fn prompts_that_cannot_be_answered_are_refused() {
    let (message, hint) = refusal(&Options::default(), &[prompt("a", 3), prompt("", 3)]);
    assert_eq!(message, "the prompt has no tokens");
    assert_eq!(hint, "give a text to go on from");
    let (message, hint) = refusal(&Options::default(), &[prompt("abc", 30)]);
    assert_eq!(
        message,
        "the prompt has 3 tokens, which with 30 for the answer is more than the 32 that the model reads"
    );
    assert_eq!(hint, "ask for at most 29 tokens, or shorten the prompt");
    let (message, hint) = refusal(&Options::default(), &[prompt(&"a".repeat(32), 1)]);
    assert!(message.starts_with("the prompt has 32 tokens, which with 1"));
    assert_eq!(hint, "shorten the prompt to less than 32 tokens");
    let (message, _) = refusal(&Options::default(), &[prompt("a", 0)]);
    assert_eq!(message, "an answer of 0 tokens is asked for");
    let empty = Options {
        stop: vec![String::new()],
        ..Options::default()
    };
    let (message, _) = refusal(&empty, &[prompt("a", 1)]);
    assert_eq!(message, "a stop string is empty");
}

#[test]
fn no_prompts_have_no_answers() {
    assert_eq!(answer(&model("abcd", None), &Options::default(), &[]), []);
}
