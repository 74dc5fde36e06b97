//! Adapters of the BERT family against peft.

use std::path::Path;

use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use rekindle_bert::{BertConfig, BertNames};
use rekindle_data::TaskKind;
use rekindle_nn::load;
use rekindle_testkit::{Fixture, Subject, adapter_equals_peft};
use rekindle_train::task::{RowTask, TagTask, TrainableBackend};

/// Gradients on `flex`, and on other backends, whose sums run in another order.
const FLEX: f64 = 1e-4;
const OTHERS: f64 = 1e-3;

fn check<B: TrainableBackend>((adapter, base): (&str, &str), gradients: f64) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let fixture = Fixture::open(&tests.join("fixtures").join(base));
    let folder = tests.join("adapters").join(adapter);
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let (objective, rows) = (fixture.objective(), fixture.batches.concat());
    let (labels, device) = (objective.num_outputs(), B::Device::default());
    let saved = ["classifier"];
    if objective.task() == TaskKind::Tag {
        let names = BertNames::of_tagger(config.family);
        let model = config.tagger::<B>(labels, &device);
        let (model, _) = fixture
            .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
            .expect("a fixture fits its model");
        let subject = Subject::new(model, TagTask, objective, rows);
        adapter_equals_peft((fixture, &folder), subject, (&names, &saved), gradients);
    } else {
        let names = BertNames::of_classifier(config.family);
        let model = config.classifier::<B>(labels, &device);
        let (model, _) = fixture
            .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
            .expect("a fixture fits its model");
        let subject = Subject::new(model, RowTask, objective, rows);
        adapter_equals_peft((fixture, &folder), subject, (&names, &saved), gradients);
    }
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
    an_adapter_of_all_layers_equals_peft: "bert-all" of "bert-single";
    an_adapter_of_a_pattern_equals_peft: "bert-token" of "bert-token";
    a_stabilized_adapter_equals_peft: "roberta-stabilized" of "roberta-single";
    an_adapter_of_names_equals_peft: "distilbert-names" of "distilbert-single";
}
