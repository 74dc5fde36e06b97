//! The laws that every model obeys, for each architecture.

use std::path::Path;

use burn_autodiff::Autodiff;
use burn_flex::Flex;
use rekindle_llama::LlamaConfig;
use rekindle_testkit::{Fixture, Subject, laws};
use rekindle_train::token_task::TokenTask;

type B = Autodiff<Flex>;

/// Wide enough to learn a few random rows by heart.
const WIDTH: usize = 32;

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let fixture = Fixture::open(&folder);
    let config = LlamaConfig {
        hidden_size: WIDTH,
        intermediate_size: 2 * WIDTH,
        ..LlamaConfig::from_json(&fixture.config).expect("a fixture has a known configuration")
    };
    let rows: Vec<_> = fixture.batches.concat().into_iter().take(12).collect();
    let subject = |config: LlamaConfig| {
        let model = config.causal_lm::<B>(&burn_flex::FlexDevice);
        let task = TokenTask::default();
        Subject::<B, _, _>::random(model, task, fixture.objective(), rows.clone())
    };
    laws::hold(&subject(config.clone()));
    laws::dropout_repeats_with_the_seed(&subject(config.with_dropout(0.2)));
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
