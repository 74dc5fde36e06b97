//! GPT-2 against transformers: hidden states, logits, loss, gradients, twenty training steps;
//! and against itself: packed rows, and logits from a cache.

use burn::tensor::backend::Backend;
use burn_flex::{Flex, FlexDevice};
use rekindle_gpt2::{Gpt2Config, Gpt2Lm, Gpt2Names};
use rekindle_nn::Rows;
use rekindle_testkit::{Fixture, decoder, on_backends};
use rekindle_train::task::TrainableBackend;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

fn model<B: Backend>(fixture: &Fixture) -> (Gpt2Lm<B>, Gpt2Names) {
    let config =
        Gpt2Config::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = Gpt2Names::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    (fixture.fill::<B, _>(model, &names), names)
}

fn check<B: TrainableBackend>(name: &str, gradients: f64) {
    let fixture = Fixture::of(TESTS, name);
    let (model, names) = model::<B>(&fixture);
    decoder::check::<B, _>(&fixture, model, (&names, gradients));
}

on_backends! {
    gpt2_equals_transformers: "gpt2";
    gpt2_with_other_scales_and_a_head_equals_transformers: "gpt2-unscaled";
}

/// The logits of a fixture for the rows of another one.
fn assert_logits(name: &str, inputs: &str) {
    let mut fixture = Fixture::of(TESTS, name);
    fixture.read_inputs(Fixture::of(TESTS, inputs).folder());
    decoder::logits_equal::<Flex, _>(&fixture, &model(&fixture).0, &FlexDevice);
}

#[test]
fn f16_weights_are_read_as_f32() {
    assert_logits("gpt2-f16", "gpt2");
}

#[test]
fn names_without_a_prefix_and_stored_masks_are_understood() {
    let logits = |name| {
        let mut fixture = Fixture::of(TESTS, name);
        fixture.read_inputs(Fixture::of(TESTS, "gpt2").folder());
        let row = &fixture.batches[0][1];
        let rows = Rows::ragged(vec![row.ids.len()]);
        decoder::logits::<Flex, _>(&model(&fixture).0, &[row], rows, &FlexDevice)
    };
    assert_eq!(logits("gpt2-buffers"), logits("gpt2"));
}
