//! The laws that every model obeys, for each architecture.

use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_llama::LlamaConfig;
use rekindle_testkit::{Fixture, decoder};

/// Wide enough to learn a few random rows by heart.
const WIDTH: usize = 32;

fn check(name: &str) {
    let fixture = Fixture::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"), name);
    let config = LlamaConfig {
        hidden_size: WIDTH,
        intermediate_size: 2 * WIDTH,
        ..LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration")
    };
    let models = [config.clone(), config.with_dropout(0.2)];
    let models = models.map(|config| config.causal_lm(&FlexDevice));
    decoder::obeys_the_laws::<Autodiff<Flex>, _>(&fixture, models);
}

macro_rules! laws {
    ($($test:ident: $fixture:literal;)*) => { $(#[test] fn $test() { check($fixture); })* };
}

laws! {
    llama_tied_obeys: "llama-mqa";
    llama_untied_obeys: "llama-gqa";
    mistral_obeys: "mistral";
    qwen2_obeys: "qwen2";
    qwen3_obeys: "qwen3";
}
