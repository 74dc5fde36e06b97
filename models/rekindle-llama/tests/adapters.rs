//! Adapters of the Llama family against peft.

use std::path::Path;

use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use rekindle_llama::{LlamaConfig, LlamaNames};
use rekindle_nn::{Lora, LoraError, Targets, load};
use rekindle_testkit::{Fixture, Subject, adapter_equals_peft};
use rekindle_train::task::TrainableBackend;
use rekindle_train::token_task::TokenTask;

/// Gradients on `flex`, and on other backends, whose sums run in another order.
const FLEX: f64 = 1e-4;
const OTHERS: f64 = 1e-3;

fn check<B: TrainableBackend>((adapter, base): (&str, &str), gradients: f64) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let fixture = Fixture::open(&tests.join("fixtures").join(base));
    let config =
        LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = LlamaNames::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    let (model, _) = fixture
        .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
        .expect("a fixture fits its model");
    let (objective, rows) = (fixture.objective(), fixture.batches.concat());
    let subject = Subject::new(model, TokenTask::default(), objective, rows);
    let folder = tests.join("adapters").join(adapter);
    adapter_equals_peft((fixture, &folder), subject, (&names, &[]), gradients);
}

macro_rules! adapters {
    ($($test:ident: $adapter:literal of $base:literal;)*) => {
        mod on_flex {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::Flex>>(($adapter, $base), super::FLEX); })*
        }
        mod on_ndarray {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::NdArray>>(($adapter, $base), super::OTHERS); })*
        }
    };
}

adapters! {
    an_adapter_of_all_layers_equals_peft: "llama-all" of "llama-gqa";
    a_stabilized_adapter_of_names_equals_peft: "llama-names" of "llama-mqa";
    an_adapter_of_all_layers_of_qwen3_equals_peft: "qwen3-all" of "qwen3";
}

#[test]
fn the_embedding_of_a_tied_model_is_not_trained_beside_an_adapter() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let apply = |fixture: &str| {
        let fixture = Fixture::open(&tests.join(fixture));
        let config =
            LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
        let names = LlamaNames::new(config.is_tied);
        let lora = Lora {
            rank: 2,
            scale: 1.0,
            dropout: 0.0,
            targets: Targets::AllLinear,
            modules_to_save: vec!["embed_tokens".to_owned()],
            seed: 0,
        };
        let model = config.causal_lm::<Flex>(&burn_flex::FlexDevice);
        lora.apply::<Flex, _>(model, &names)
            .map(|(_, adaptation)| adaptation.modules.len())
    };
    assert!(matches!(apply("llama-mqa"), Err(LoraError::Tied { .. })));
    // Seven in each block, and not the output layer.
    assert!(matches!(apply("llama-mha"), Ok(14)));
}
