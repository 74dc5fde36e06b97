//! Adapters of GPT-2 against peft.

use std::path::Path;

use rekindle_gpt2::{Gpt2Config, Gpt2Names};
use rekindle_testkit::{Fixture, adapter_equals_peft, decoder, on_backends};
use rekindle_train::task::TrainableBackend;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

fn check<B: TrainableBackend>((adapter, base): (&str, &str), gradients: f64) {
    let fixture = Fixture::of(TESTS, base);
    let config =
        Gpt2Config::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = Gpt2Names::new(config.is_tied);
    let model = config.causal_lm::<B>(&B::Device::default());
    let model = fixture.fill::<B, _>(model, &names);
    let subject = decoder::subject::<B, _>(&fixture, model);
    let folder = Path::new(TESTS).join("adapters").join(adapter);
    adapter_equals_peft((fixture, &folder), subject, (&names, &[]), gradients);
}

on_backends! {
    an_adapter_of_all_layers_equals_peft: ("gpt2-all", "gpt2");
    an_adapter_of_names_equals_peft: ("gpt2-names", "gpt2-unscaled");
}
