//! The BERT family against transformers: hidden states, logits, loss, gradients, twenty training steps.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use rekindle_bert::{
    Bert, BertConfig, BertNames, SequenceClassifier, TokenClassifier, WordPredictor,
};
use rekindle_data::TaskKind;
use rekindle_nn::Classifier;
use rekindle_testkit::{
    Fixture, Subject, assert_close, climb, follow_trajectory, masked_logits_equal, on_backends,
};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::optimizer::to_host;
use rekindle_train::task::{RowTask, TagTask, TrainableBackend};

const PADDED: Layout = Layout::Padded { multiple: 8 };

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Embeddings, then each block.
fn hidden<B: TrainableBackend>(encoder: &Bert<B>, batch: Batch<B>) -> Vec<Tensor<B, 2>> {
    let mut states = vec![encoder.embed(batch.input, &batch.rows)];
    for index in 0..encoder.num_blocks() {
        states.push(encoder.block(index, states[index].clone(), &batch.rows));
    }
    states
}

fn classifier<B: TrainableBackend>(fixture: &Fixture) -> (SequenceClassifier<B>, BertNames) {
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = BertNames::of_classifier(config.family);
    let labels = fixture.objective().num_outputs();
    let model = config.classifier::<B>(labels, &B::Device::default());
    (fixture.fill::<B, _>(model, &names), names)
}

fn tagger<B: TrainableBackend>(fixture: &Fixture) -> (TokenClassifier<B>, BertNames) {
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = BertNames::of_tagger(config.family);
    let labels = fixture.objective().num_outputs();
    let model = config.tagger::<B>(labels, &B::Device::default());
    (fixture.fill::<B, _>(model, &names), names)
}

fn word_predictor<B: TrainableBackend>(fixture: &Fixture) -> (WordPredictor<B>, BertNames) {
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = BertNames::of_word_predictor(config.family);
    let model = config.word_predictor::<B>(&B::Device::default());
    (fixture.fill::<B, _>(model, &names), names)
}

fn check<B: TrainableBackend>(name: &str, gradients: f64) {
    let fixture = Fixture::of(TESTS, name);
    let rows: Vec<Row> = fixture.batches.concat();
    let objective = fixture.objective();
    if objective.task() == TaskKind::Mask {
        let (model, names) = word_predictor::<B>(&fixture);
        let subject = Subject::new(model, MaskTask, objective, rows);
        for layout in [Layout::Ragged, PADDED] {
            masked_logits_equal(&fixture, &subject.model.valid(), layout);
            let states = |model: &WordPredictor<B>, batch| hidden(model.encoder(), batch);
            climb(&fixture, &subject, &names, &states, (layout, gradients));
            follow_trajectory(&fixture, &subject, layout);
        }
    } else if objective.task() == TaskKind::Tag {
        let (model, names) = tagger::<B>(&fixture);
        let subject = Subject::new(model, TagTask, objective, rows);
        for layout in [Layout::Ragged, PADDED] {
            let states = |model: &TokenClassifier<B>, batch| hidden(model.encoder(), batch);
            climb(&fixture, &subject, &names, &states, (layout, gradients));
            follow_trajectory(&fixture, &subject, layout);
        }
    } else {
        let (model, names) = classifier::<B>(&fixture);
        let subject = Subject::new(model, RowTask, objective, rows);
        for layout in [Layout::Ragged, PADDED] {
            let states = |model: &SequenceClassifier<B>, batch| hidden(model.encoder(), batch);
            climb(&fixture, &subject, &names, &states, (layout, gradients));
            follow_trajectory(&fixture, &subject, layout);
        }
    }
}

on_backends! {
    bert_with_classes_equals_transformers: "bert-single";
    bert_with_labels_equals_transformers: "bert-multi";
    bert_with_a_number_equals_transformers: "bert-regression";
    bert_with_tags_equals_transformers: "bert-token";
    bert_with_hidden_words_equals_transformers: "bert-mask";
    roberta_with_classes_equals_transformers: "roberta-single";
    roberta_with_labels_equals_transformers: "roberta-multi";
    roberta_with_a_number_equals_transformers: "roberta-regression";
    roberta_with_tags_equals_transformers: "roberta-token";
    roberta_with_hidden_words_equals_transformers: "roberta-mask";
    distilbert_with_classes_equals_transformers: "distilbert-single";
    distilbert_with_labels_equals_transformers: "distilbert-multi";
    distilbert_with_a_number_equals_transformers: "distilbert-regression";
    distilbert_with_tags_equals_transformers: "distilbert-token";
    distilbert_with_hidden_words_equals_transformers: "distilbert-mask";
}

/// Logits of the first batch of a fixture whose rows come from another one.
fn logits(name: &str, inputs: &str) -> (Fixture, Vec<f32>) {
    type B = Autodiff<Flex>;
    let mut fixture = Fixture::of(TESTS, name);
    fixture.read_inputs(Fixture::of(TESTS, inputs).folder());
    let (model, _) = classifier::<B>(&fixture);
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let batch = Batch::new(&rows, Layout::Ragged, &burn_flex::FlexDevice);
    let logits = model.classify(batch.input, &batch.rows);
    (fixture, to_host(logits.flatten::<1>(0, 1)))
}

#[test]
fn sharded_bf16_weights_are_read_as_f32() {
    let (fixture, logits) = logits("roberta-sharded-bf16", "roberta-single");
    assert_close("logits", &logits, &fixture.expected("logits"), 1e-4);
}

#[test]
fn old_names_of_norms_are_understood() {
    let (_, old) = logits("bert-gamma-beta", "bert-single");
    let (_, new) = logits("bert-single", "bert-single");
    assert_eq!(old, new);
}
