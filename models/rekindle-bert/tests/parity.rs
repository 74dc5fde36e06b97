//! The BERT family against transformers: hidden states, logits, loss, gradients, twenty training steps.

use std::path::{Path, PathBuf};

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use rekindle_bert::{
    Bert, BertConfig, BertNames, SequenceClassifier, TokenClassifier, WordPredictor,
};
use rekindle_data::TaskKind;
use rekindle_nn::{Classifier, load};
use rekindle_testkit::{
    Fixture, Subject, assert_close, climb, follow_trajectory, masked_logits_equal,
};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::optimizer::to_host;
use rekindle_train::task::{RowTask, TagTask, TrainableBackend};

const PADDED: Layout = Layout::Padded { multiple: 8 };

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

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
    let (model, report) = fixture
        .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
        .expect("a fixture fits its model");
    assert_eq!(report.fresh, Vec::<String>::new());
    assert_eq!(report.unused, Vec::<String>::new());
    (model, names)
}

fn tagger<B: TrainableBackend>(fixture: &Fixture) -> (TokenClassifier<B>, BertNames) {
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = BertNames::of_tagger(config.family);
    let labels = fixture.objective().num_outputs();
    let model = config.tagger::<B>(labels, &B::Device::default());
    let (model, report) = fixture
        .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
        .expect("a fixture fits its model");
    assert_eq!(report.fresh, Vec::<String>::new());
    assert_eq!(report.unused, Vec::<String>::new());
    (model, names)
}

fn word_predictor<B: TrainableBackend>(fixture: &Fixture) -> (WordPredictor<B>, BertNames) {
    let config =
        BertConfig::from_json(&fixture.config).expect("a fixture has a known configuration");
    let names = BertNames::of_word_predictor(config.family);
    let model = config.word_predictor::<B>(&B::Device::default());
    let (model, report) = fixture
        .with_weights(|weights| load(model, weights, &names, (0, 0.02)))
        .expect("a fixture fits its model");
    assert_eq!(report.fresh, Vec::<String>::new());
    assert_eq!(report.unused, Vec::<String>::new());
    (model, names)
}

/// Gradients on `flex`, and on other backends, whose sums run in another order.
const FLEX: f64 = 1e-4;
const OTHERS: f64 = 1e-3;

fn check<B: TrainableBackend>(name: &str, gradients: f64) {
    let fixture = Fixture::open(&folder(name));
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

macro_rules! parity {
    ($($test:ident: $fixture:literal;)*) => {
        mod on_flex {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::Flex>>($fixture, super::FLEX); })*
        }
        mod on_ndarray {
            $(#[test] fn $test() { super::check::<super::Autodiff<super::NdArray>>($fixture, super::OTHERS); })*
        }
    };
}

parity! {
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
    let mut fixture = Fixture::open(&folder(name));
    fixture.read_inputs(&folder(inputs));
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
