//! The engine with tiny decoders against transformers' `generate`: `decoders_reference.py` wrote the answers.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Int, Tensor};
use burn_flex::{Flex, FlexDevice};
use burn_ndarray::{NdArray, NdArrayDevice};
use rekindle_generate::{Answer, Engine, Options, Prompt, Sampling};
use rekindle_gpt2::{Gpt2Config, Gpt2Names};
use rekindle_llama::{LlamaConfig, LlamaNames};
use rekindle_nn::{CausalLm, Rows, Slots, TrainBackend, load};
use rekindle_testkit::Fixture;
use serde::Deserialize;

use crate::ascii::renderer;

const CASES: &str = include_str!("../fixtures/decoders.json");

/// Tokens that the models read.
const POSITIONS: usize = 16;

/// Penalties of the reference.
const PENALTIES: [f64; 2] = [1.0, 1.3];

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "crate")]
    package: String,
    name: String,
    prompts: Vec<Vec<u32>>,
    /// Of each penalty, of each prompt.
    answers: [Vec<Vec<u32>>; 2],
}

fn answer<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    device: &B::Device,
    sampling: Sampling,
    prompts: &[Prompt],
) -> Vec<Answer> {
    let options = Options {
        sampling,
        ..Options::default()
    };
    let engine = Engine {
        model,
        device,
        positions: POSITIONS,
        renderer: &renderer(),
        options: &options,
    };
    let answers = engine.answer(prompts, &mut |_| ControlFlow::Continue(()));
    answers.unwrap()
}

/// Logits after each token of a row, without a cache.
fn last_logits<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    device: &B::Device,
    ids: &[u32],
) -> Vec<f32> {
    let ints: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let tokens = Tensor::<B, 1, Int>::from_data(ints.as_slice(), device);
    let place = model.place(Slots::Rows(Rows::ragged(vec![ids.len()])), device);
    let mut hidden = model.embed(tokens, &place);
    for block in 0..model.num_blocks() {
        hidden = model.block(block, hidden, &place, None);
    }
    let last = hidden.slice([ids.len() - 1..ids.len()]);
    let logits = model.project(model.norm(last));
    logits.into_data().iter::<f32>().collect()
}

fn check<B: TrainBackend, M: CausalLm<B>>(model: &M, device: &B::Device, case: &Case) {
    let prompts = |max_tokens: &dyn Fn(usize) -> usize| -> Vec<Prompt> {
        let numbered = case.prompts.iter().zip(0..);
        let prompt = |(ids, number): (&Vec<u32>, u64)| Prompt {
            ids: ids.clone(),
            number,
            max_tokens: max_tokens(ids.len()),
        };
        numbered.map(prompt).collect()
    };
    for (repetition_penalty, expected) in PENALTIES.into_iter().zip(&case.answers) {
        let sampling = Sampling {
            repetition_penalty,
            ..Sampling::default()
        };
        let answers = answer(model, device, sampling, &prompts(&|_| 10));
        let found: Vec<_> = answers.into_iter().map(|answer| answer.ids).collect();
        assert_eq!(&found, expected, "{} at {repetition_penalty}", case.name);
    }
    // Rows that end one after the other, each at the model's last position.
    let ragged = prompts(&|length| POSITIONS - length);
    let greedy = answer(model, device, Sampling::default(), &ragged);
    for (prompt, answer) in ragged.iter().zip(&greedy) {
        let mut ids = prompt.ids.clone();
        for &id in &answer.ids {
            let logits = last_logits(model, device, &ids);
            let rivals = logits
                .iter()
                .filter(|&&logit| logit > logits[id as usize] + 1e-5);
            assert_eq!(rivals.count(), 0, "{}: cached and not", case.name);
            ids.push(id);
        }
        assert_eq!(ids.len(), POSITIONS);
    }
    let drawn = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    let together = answer(model, device, drawn, &ragged);
    let alone = ragged
        .chunks(1)
        .flat_map(|one| answer(model, device, drawn, one));
    assert_eq!(together, alone.collect::<Vec<_>>(), "{}: drawn", case.name);
}

fn check_all<B: TrainBackend>(device: &B::Device) {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let folder = models
            .join(&case.package)
            .join("tests/fixtures")
            .join(&case.name);
        let fixture = Fixture::open(&folder);
        let fresh = (0, 0.02);
        if case.package == "rekindle-gpt2" {
            let config = Gpt2Config::from_json(&fixture.config).unwrap();
            let names = Gpt2Names::new(config.is_tied);
            let model = config.causal_lm::<B>(device);
            let loaded = fixture.with_weights(|weights| load(model, weights, &names, fresh));
            check(&loaded.unwrap().0, device, &case);
        } else {
            let config = LlamaConfig::from_json(&fixture.config).unwrap();
            let names = LlamaNames::new(config.is_tied);
            let model = config.causal_lm::<B>(device);
            let loaded = fixture.with_weights(|weights| load(model, weights, &names, fresh));
            check(&loaded.unwrap().0, device, &case);
        }
    }
}

#[test]
fn answers_on_flex_are_those_of_transformers() {
    check_all::<Flex>(&FlexDevice);
}

#[test]
fn answers_on_ndarray_are_those_of_transformers() {
    check_all::<NdArray>(&NdArrayDevice::Cpu);
}
