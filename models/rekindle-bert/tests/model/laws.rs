//! The laws that every model obeys, for each architecture and head.

use burn_autodiff::Autodiff;
use burn_flex::Flex;
use rekindle_bert::BertConfig;
use rekindle_data::TaskKind;
use rekindle_testkit::{Fixture, Subject, laws};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::task::{RowTask, TagTask};

type B = Autodiff<Flex>;

fn check(name: &str) {
    let fixture = Fixture::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"), name);
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let objective = fixture.objective();
    let labels = objective.num_outputs();
    let rows: Vec<_> = fixture.batches.concat().into_iter().take(12).collect();
    let device = burn_flex::FlexDevice;
    let dropped = config.clone().with_dropout(0.2);
    if objective.task() == TaskKind::Mask {
        let subject = |config: BertConfig| {
            let model = config.word_predictor::<B>(&device);
            Subject::<B, _, _>::random(model, MaskTask, objective.clone(), rows.clone())
        };
        laws::hold(&subject(config));
        laws::dropout_repeats_with_the_seed(&subject(dropped));
    } else if objective.task() == TaskKind::Tag {
        let subject = |config: BertConfig| {
            let model = config.tagger::<B>(labels, &device);
            Subject::<B, _, _>::random(model, TagTask, objective.clone(), rows.clone())
        };
        laws::hold(&subject(config));
        laws::dropout_repeats_with_the_seed(&subject(dropped));
    } else {
        let subject = |config: BertConfig| {
            let model = config.classifier::<B>(labels, &device);
            Subject::<B, _, _>::random(model, RowTask, objective.clone(), rows.clone())
        };
        laws::hold(&subject(config));
        laws::dropout_repeats_with_the_seed(&subject(dropped));
    }
}

macro_rules! laws {
    ($($test:ident: $fixture:literal;)*) => { $(#[test] fn $test() { check($fixture); })* };
}

laws! {
    bert_with_classes_obeys: "bert-single";
    bert_with_labels_obeys: "bert-multi";
    bert_with_a_number_obeys: "bert-regression";
    bert_with_tags_obeys: "bert-token";
    bert_with_hidden_words_obeys: "bert-mask";
    roberta_with_classes_obeys: "roberta-single";
    roberta_with_tags_obeys: "roberta-token";
    roberta_with_hidden_words_obeys: "roberta-mask";
    distilbert_with_classes_obeys: "distilbert-single";
    distilbert_with_tags_obeys: "distilbert-token";
    distilbert_with_hidden_words_obeys: "distilbert-mask";
}
