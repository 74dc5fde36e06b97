//! The bundled model predicts hidden words as it does in transformers.

use std::fs;
use std::path::Path;

use burn_flex::Flex;
use rekindle_bert::{BertConfig, BertNames};
use rekindle_data::{HiddenToken, LabelSet, TaskKind};
use rekindle_hub::{Checkpoint, read_config};
use rekindle_nn::{TensorSource, load};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::mask_task::MaskTask;
use rekindle_train::objective::{Objective, Target};
use serde_json::Value;

/// The largest difference of a mean loss.
const TOLERANCE: f64 = 1e-4;

/// The size of the file, which every binary carries.
const MOST_BYTES: u64 = 8_000_000;

fn row(number: usize, row: &Value) -> Row {
    let numbers = |name: &str| {
        let numbers = row[name].as_array().expect("a list").iter();
        numbers.map(|number| number.as_i64().expect("an integer"))
    };
    let labels = numbers("labels").enumerate();
    let hidden = labels.filter(|(_, label)| *label >= 0);
    let hidden = hidden.map(|(position, label)| HiddenToken {
        position,
        id: label as u32,
    });
    Row {
        ids: numbers("ids").map(|id| id as u32).collect(),
        type_ids: vec![0; numbers("ids").count()],
        target: Target::Masked(hidden.collect()),
        number,
    }
}

#[test]
fn hidden_words_cost_what_they_cost_in_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/bundled/words.json")).expect("it is committed");
    let expected: Value = serde_json::from_str(&text).expect("it is JSON");
    let rows = expected["rows"].as_array().expect("a list");
    let rows: Vec<Row> = rows
        .iter()
        .enumerate()
        .map(|(at, it)| row(at, it))
        .collect();

    let folder = root.join("bundled");
    let config = read_config(&folder).expect("the model has a configuration");
    let config = BertConfig::from_json(&config).expect("it is known");
    let checkpoint = Checkpoint::open(&folder).expect("the model has weights");
    let shapes = checkpoint.names().map(|name| {
        (
            name.to_owned(),
            checkpoint.shape(name).unwrap_or_default().to_vec(),
        )
    });
    let source = TensorSource::new(shapes, |name| checkpoint.read_f32(name));
    let names = BertNames::of_word_predictor(config.family);
    let model = config.word_predictor::<Flex>(&burn_flex::FlexDevice);
    let (model, report) = load(model, &source, &names, (0, 0.02)).expect("the weights fit");
    assert_eq!((report.fresh, report.unused), (Vec::new(), Vec::new()));

    let objective = Objective::new(TaskKind::Mask, LabelSet::from_names(Vec::new()));
    let runner = Runner {
        task: &MaskTask,
        objective: &objective,
        layout: Layout::Ragged,
        batch_size: 16,
    };
    let evaluated = runner.evaluate(&model, &rows, &burn_flex::FlexDevice);
    let loss = expected["loss"].as_f64().expect("a number");
    let difference = (evaluated.loss - loss).abs();
    assert!(difference < TOLERANCE, "{} and {loss}", evaluated.loss);
    let losses = expected["nll"].as_array().expect("a list");
    for ((row, outputs), nll) in rows.iter().zip(&evaluated.outputs).zip(losses) {
        let count = objective.weight(&row.target).max(1.0);
        let found = objective.row_loss(outputs, &row.target);
        let difference = (found - nll.as_f64().expect("a number")).abs() / count;
        assert!(
            difference < TOLERANCE,
            "row {}: {found} and {nll}",
            row.number
        );
    }
}

#[test]
fn the_file_is_small() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bundled/model.safetensors");
    let bytes = fs::metadata(file).expect("the model has weights").len();
    assert!(bytes <= MOST_BYTES, "{bytes}");
}
