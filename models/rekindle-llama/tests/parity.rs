//! The Llama family against transformers: hidden states, logits, loss, gradients, twenty training steps;
//! and against itself: packed rows, and logits from a cache.

use std::path::{Path, PathBuf};

use burn::module::AutodiffModule;
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use rekindle_llama::{LlamaConfig, LlamaLm, LlamaNames};
use rekindle_nn::{Rows, load};
use rekindle_testkit::{Fixture, Subject, assert_close, decoder, follow_trajectory};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::task::{Inner, TrainableBackend};
use rekindle_train::token_task::TokenTask;

const PADDED: Layout = Layout::Padded { multiple: 8 };

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn model<B: TrainableBackend>(fixture: &Fixture) -> (LlamaLm<B>, LlamaNames) {
    let config =
        LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = LlamaNames::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    let (model, report) = fixture
        .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
        .expect("a fixture fits its model");
    assert_eq!(report.fresh, Vec::<String>::new());
    assert_eq!(report.unused, Vec::<String>::new());
    (model, names)
}

/// Gradients on `flex`, and on other backends, whose sums run in another order.
const FLEX: f64 = 1e-4;
const OTHERS: f64 = 1e-3;

fn check<B: TrainableBackend>(name: &str, gradients: f64) {
    let fixture = Fixture::open(&folder(name));
    let (mut model, names) = model::<B>(&fixture);
    decoder::linears_have_the_names_of_their_parameters::<B, _>(&mut model);
    let rows: Vec<Row> = fixture.batches.concat();
    decoder::packing_changes_nothing::<B, _>(&model, &rows);
    decoder::cache_changes_nothing::<Inner<B>, _>(&model.valid(), &fixture.batches[2]);
    for layout in [Layout::Ragged, PADDED] {
        decoder::climb(&fixture, &model, (&names, gradients), layout);
        let task = TokenTask::default();
        let subject =
            Subject::<B, _, _>::new(model.clone(), task, fixture.objective(), rows.clone());
        follow_trajectory(&fixture, &subject, layout);
    }
}

macro_rules! parity {
    ($($test:ident: $fixture:literal;)*) => {
        mod on_flex {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::Flex>>($fixture, super::FLEX); })*
        }
        mod on_ndarray {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::NdArray>>($fixture, super::OTHERS); })*
        }
    };
}

parity! {
    llama_with_one_key_head_equals_transformers: "llama-mqa";
    llama_with_biases_and_scaled_positions_equals_transformers: "llama-gqa";
    llama_with_stretched_positions_equals_transformers: "llama-mha";
    mistral_with_a_window_equals_transformers: "mistral";
    qwen2_with_a_window_in_one_block_equals_transformers: "qwen2";
    qwen3_with_head_norms_equals_transformers: "qwen3";
}

/// Logits of the first batch of a fixture whose rows come from another one.
fn assert_logits(name: &str, inputs: &str) {
    let mut fixture = Fixture::open(&folder(name));
    fixture.read_inputs(&folder(inputs));
    let model = model::<Autodiff<Flex>>(&fixture).0.valid();
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
    let longest = Rows::padded(lengths.clone(), 1);
    let found = decoder::logits(&model, &rows, Rows::ragged(lengths), &burn_flex::FlexDevice);
    let width = found.len() / longest.lengths().iter().sum::<usize>();
    let starts = longest.starts().into_iter().zip(longest.lengths());
    let expected = fixture.expected("logits");
    let expected: Vec<f32> = starts
        .flat_map(|(start, length)| &expected[start * width..(start + length) * width])
        .copied()
        .collect();
    assert_close("logits", &found, &expected, 1e-4);
}

#[test]
fn sharded_bf16_weights_are_read_as_f32() {
    assert_logits("llama-sharded-bf16", "llama-gqa");
}

#[test]
fn f16_weights_are_read_as_f32() {
    assert_logits("mistral-f16", "mistral");
}
