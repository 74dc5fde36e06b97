//! The laws that every model obeys.

use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_gpt2::Gpt2Config;
use rekindle_testkit::{Fixture, decoder};

/// Wide enough to learn a few random rows by heart.
const WIDTH: usize = 32;

fn check(name: &str) {
    let fixture = Fixture::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"), name);
    let config = Gpt2Config {
        hidden_size: WIDTH,
        intermediate_size: 2 * WIDTH,
        ..Gpt2Config::from_json(&fixture.config).expect("a fixture has a known configuration")
    };
    let models = [config.clone(), config.with_dropout(0.2)];
    let models = models.map(|config| config.causal_lm(&FlexDevice));
    decoder::obeys_the_laws::<Autodiff<Flex>, _>(&fixture, models);
}

macro_rules! laws {
    ($($test:ident: $fixture:literal;)*) => { $(#[test] fn $test() { check($fixture); })* };
}

laws! {
    gpt2_tied_obeys: "gpt2";
    gpt2_untied_obeys: "gpt2-unscaled";
}
