//! Adapters of the Llama family against peft.

use std::path::Path;

use burn_flex::Flex;
use rekindle_llama::{LlamaConfig, LlamaNames};
use rekindle_nn::{Lora, LoraError, Targets};
use rekindle_testkit::{Fixture, adapter_equals_peft, decoder, on_backends};
use rekindle_train::task::TrainableBackend;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

fn check<B: TrainableBackend>((adapter, base): (&str, &str), gradients: f64) {
    let fixture = Fixture::of(TESTS, base);
    let config =
        LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = LlamaNames::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    let model = fixture.fill::<B, _>(model, &names);
    let subject = decoder::subject::<B, _>(&fixture, model);
    let folder = Path::new(TESTS).join("adapters").join(adapter);
    adapter_equals_peft((fixture, &folder), subject, (&names, &[]), gradients);
}

on_backends! {
    an_adapter_of_all_layers_equals_peft: ("llama-all", "llama-gqa");
    a_stabilized_adapter_of_names_equals_peft: ("llama-names", "llama-mqa");
    an_adapter_of_all_layers_of_qwen3_equals_peft: ("qwen3-all", "qwen3");
    an_adapter_of_the_output_layer_equals_peft: ("llama-head", "llama-gqa");
}

#[test]
fn the_embedding_of_a_tied_model_is_not_trained_beside_an_adapter() {
    let apply = |fixture: &str| {
        let fixture = Fixture::of(TESTS, fixture);
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
