//! Adapters of the BERT family against peft.

use std::path::Path;

use rekindle_bert::{BertConfig, BertNames};
use rekindle_data::TaskKind;
use rekindle_testkit::{Fixture, Subject, adapter_equals_peft, on_backends};
use rekindle_train::task::{RowTask, TagTask, TrainableBackend};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

fn check<B: TrainableBackend>((adapter, base): (&str, &str), gradients: f64) {
    let fixture = Fixture::of(TESTS, base);
    let folder = Path::new(TESTS).join("adapters").join(adapter);
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let (objective, rows) = (fixture.objective(), fixture.batches.concat());
    let (labels, device) = (objective.num_outputs(), B::Device::default());
    let saved = ["classifier"];
    if objective.task() == TaskKind::Tag {
        let names = BertNames::of_tagger(config.family);
        let model = config.tagger::<B>(labels, &device);
        let model = fixture.fill::<B, _>(model, &names);
        let subject = Subject::new(model, TagTask, objective, rows);
        adapter_equals_peft((fixture, &folder), subject, (&names, &saved), gradients);
    } else {
        let names = BertNames::of_classifier(config.family);
        let model = config.classifier::<B>(labels, &device);
        let model = fixture.fill::<B, _>(model, &names);
        let subject = Subject::new(model, RowTask, objective, rows);
        adapter_equals_peft((fixture, &folder), subject, (&names, &saved), gradients);
    }
}

on_backends! {
    an_adapter_of_all_layers_equals_peft: ("bert-all", "bert-single");
    an_adapter_of_a_pattern_equals_peft: ("bert-token", "bert-token");
    a_stabilized_adapter_equals_peft: ("roberta-stabilized", "roberta-single");
    an_adapter_of_names_equals_peft: ("distilbert-names", "distilbert-single");
}
