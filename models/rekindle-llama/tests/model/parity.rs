//! The Llama family against transformers: hidden states, logits, loss, gradients, twenty training steps;
//! and against itself: packed rows, and logits from a cache.

use burn::tensor::backend::Backend;
use burn_flex::{Flex, FlexDevice};
use rekindle_llama::{LlamaConfig, LlamaLm, LlamaNames};
use rekindle_testkit::{Fixture, decoder, on_backends};
use rekindle_train::task::TrainableBackend;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

fn model<B: Backend>(fixture: &Fixture) -> (LlamaLm<B>, LlamaNames) {
    let config =
        LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = LlamaNames::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    (fixture.fill::<B, _>(model, &names), names)
}

fn check<B: TrainableBackend>(name: &str, gradients: f64) {
    let fixture = Fixture::of(TESTS, name);
    let (model, names) = model::<B>(&fixture);
    decoder::check::<B, _>(&fixture, model, (&names, gradients));
}

on_backends! {
    llama_with_one_key_head_equals_transformers: "llama-mqa";
    llama_with_biases_and_scaled_positions_equals_transformers: "llama-gqa";
    llama_with_stretched_positions_equals_transformers: "llama-mha";
    mistral_with_a_window_equals_transformers: "mistral";
    qwen2_with_a_window_in_one_block_equals_transformers: "qwen2";
    qwen3_with_head_norms_equals_transformers: "qwen3";
}

/// The logits of a fixture for the rows of another one.
fn assert_logits(name: &str, inputs: &str) {
    let mut fixture = Fixture::of(TESTS, name);
    fixture.read_inputs(Fixture::of(TESTS, inputs).folder());
    decoder::logits_equal::<Flex, _>(&fixture, &model(&fixture).0, &FlexDevice);
}

#[test]
fn sharded_bf16_weights_are_read_as_f32() {
    assert_logits("llama-sharded-bf16", "llama-gqa");
}

#[test]
fn f16_weights_are_read_as_f32() {
    assert_logits("mistral-f16", "mistral");
}
