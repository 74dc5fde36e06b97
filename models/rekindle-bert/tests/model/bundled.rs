//! The bundled model predicts hidden words as it does in transformers.

use std::fs;
use std::path::Path;

use burn_flex::Flex;
use rekindle_bert::{BertConfig, BertNames};
use rekindle_testkit::Fixture;
use rekindle_train::batch::Layout;
use rekindle_train::evaluate::Runner;
use rekindle_train::mask_task::MaskTask;
use serde_json::Value;

/// The largest difference of a mean loss.
const TOLERANCE: f64 = 1e-4;

/// The size of the file, which every binary carries.
const MOST_BYTES: u64 = 8_000_000;

#[test]
fn hidden_words_cost_what_they_cost_in_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fixture = Fixture::open(&root.join("bundled"));
    fixture.read_inputs(&root.join("tests/bundled"));
    let text = fs::read_to_string(root.join("tests/bundled/losses.json"));
    let expected: Value =
        serde_json::from_str(&text.expect("it is committed")).expect("it is JSON");

    let config = BertConfig::from_json(&fixture.config).expect("it is known");
    let names = BertNames::of_word_predictor(config.family);
    let model = config.word_predictor::<Flex>(&burn_flex::FlexDevice);
    let model = fixture.fill(model, &names);
    let (rows, objective) = (&fixture.batches[0], fixture.objective());
    let runner = Runner {
        task: &MaskTask,
        objective: &objective,
        layout: Layout::Ragged,
        batch_size: 16,
    };
    let evaluated = runner.evaluate(&model, rows, &burn_flex::FlexDevice);
    let loss = expected["loss"].as_f64().expect("a number");
    let difference = (evaluated.loss - loss).abs();
    assert!(difference < TOLERANCE, "{} and {loss}", evaluated.loss);
    let losses = expected["nll"].as_array().expect("a list");
    assert_eq!(losses.len(), rows.len());
    for ((row, outputs), nll) in rows.iter().zip(&evaluated.outputs).zip(losses) {
        let count = objective.weight(&row.target).max(1.0);
        let found = objective.row_loss(outputs, &row.target);
        let difference = (found - nll.as_f64().expect("a number")).abs() / count;
        assert!(difference < TOLERANCE, "{:?}: {found} and {nll}", row.ids);
    }
}

#[test]
fn the_file_is_small() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bundled/model.safetensors");
    let bytes = fs::metadata(file).expect("the model has weights").len();
    assert!(bytes <= MOST_BYTES, "{bytes}");
}
