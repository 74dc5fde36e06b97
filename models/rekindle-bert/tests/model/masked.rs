//! What a checkpoint may hold of the head that predicts words, and what is written of it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::AutodiffModule;
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use rekindle_bert::{BertConfig, BertNames, WordPredictor};
use rekindle_hub::Checkpoint;
use rekindle_nn::{LoadReport, TensorSource, export, load};
use rekindle_testkit::{Fixture, Subject, laws::plain_recipe, masked_logits_equal};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::mask_task::MaskTask;
use rekindle_train::objective::Target;

type B = Flex;
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn fixture(name: &str) -> Fixture {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Fixture::open(&fixtures.join(name))
}

fn tensors(fixture: &Fixture) -> Tensors {
    let checkpoint = Checkpoint::open(fixture.folder()).expect("a fixture has weights");
    let names = checkpoint.names().map(str::to_owned);
    let tensor = |name: String| {
        let shape = checkpoint.shape(&name).expect("it is listed").to_vec();
        let values = checkpoint.read_f32(&name).unwrap_or_default();
        (name, (shape, values))
    };
    names.map(tensor).collect()
}

fn read(fixture: &Fixture, tensors: &Tensors) -> (WordPredictor<B>, LoadReport) {
    let config = BertConfig::from_json(&fixture.config).expect("the configuration is known");
    let shapes = tensors.iter();
    let shapes = shapes.map(|(name, (shape, _))| (name.clone(), shape.clone()));
    let source = TensorSource::new(shapes, |name| {
        Ok::<_, std::convert::Infallible>(tensors[name].1.clone())
    });
    let names = BertNames::of_word_predictor(config.family);
    let model = config.word_predictor::<B>(&burn_flex::FlexDevice);
    load(model, &source, &names, (0, 0.02)).expect("the weights fit")
}

fn copy(tensors: &mut Tensors, from: &str, to: &str) {
    let tensor = tensors[from].clone();
    tensors.insert(to.to_owned(), tensor);
}

/// Fixture, embedding, bias; then the names under which some files hold them once more.
const COPIES: [[&str; 5]; 3] = [
    [
        "bert-mask",
        "bert.embeddings.word_embeddings.weight",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    ],
    [
        "roberta-mask",
        "roberta.embeddings.word_embeddings.weight",
        "lm_head.bias",
        "lm_head.decoder.weight",
        "lm_head.decoder.bias",
    ],
    [
        "distilbert-mask",
        "distilbert.embeddings.word_embeddings.weight",
        "vocab_projector.bias",
        "vocab_projector.weight",
        "",
    ],
];

#[test]
fn copies_of_tied_tensors_are_passed_over() {
    for [name, words, bias, decoder, copied_bias] in COPIES {
        let fixture = fixture(name);
        let mut tensors = tensors(&fixture);
        copy(&mut tensors, words, decoder);
        if !copied_bias.is_empty() {
            // The bias of another name is what counts, as in transformers.
            tensors.insert(copied_bias.to_owned(), (vec![48], vec![9.0; 48]));
        }
        let (model, report) = read(&fixture, &tensors);
        assert_eq!(report.fresh, Vec::<String>::new(), "{name}");
        assert_eq!(report.unused, Vec::<String>::new(), "{name}");
        assert!(report.loaded.contains(&bias.to_owned()), "{name}");
        masked_logits_equal(&fixture, &model, Layout::Ragged);
    }
}

#[test]
fn a_bias_under_the_decoder_alone_is_read() {
    for [name, _, bias, _, copied_bias] in &COPIES[..2] {
        let fixture = fixture(name);
        let mut tensors = tensors(&fixture);
        copy(&mut tensors, bias, copied_bias);
        tensors.remove(*bias);
        let (model, report) = read(&fixture, &tensors);
        assert_eq!(report.fresh, Vec::<String>::new(), "{name}");
        masked_logits_equal(&fixture, &model, Layout::Ragged);
    }
}

#[test]
fn a_headless_checkpoint_gets_a_new_transform() {
    let fixture = fixture("minilm-headless");
    let (_, report) = read(&fixture, &tensors(&fixture));
    assert_eq!(
        report.fresh,
        [
            "cls.predictions.transform.dense.weight",
            "cls.predictions.transform.dense.bias",
            "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.LayerNorm.bias",
            "cls.predictions.bias",
        ]
    );
    assert_eq!(
        report.unused,
        [
            "embeddings.position_ids",
            "pooler.dense.bias",
            "pooler.dense.weight"
        ]
    );
}

#[test]
fn what_is_written_is_what_transformers_wrote() {
    for [name, ..] in COPIES {
        let fixture = fixture(name);
        let expected = tensors(&fixture);
        let (model, _) = read(&fixture, &expected);
        let config = BertConfig::from_json(&fixture.config).expect("the configuration is known");
        let names = BertNames::of_word_predictor(config.family);
        let written: Tensors = export::<B, _>(&model, &names)
            .into_iter()
            .map(|tensor| (tensor.name, (tensor.shape, (tensor.values)())))
            .collect();
        assert!(written == expected, "{name}");
    }
}

#[test]
fn an_output_layer_of_its_own_is_refused_by_name() {
    let mut json = fixture("bert-mask").config;
    let config = BertConfig::from_json(&json).expect("the configuration is known");
    assert!(config.check_tied().is_ok());
    json.insert("tie_word_embeddings".to_owned(), false.into());
    let config = BertConfig::from_json(&json).expect("other heads do not need it");
    let error = config
        .check_tied()
        .expect_err("it has an output layer of its own");
    assert_eq!(
        error.to_string(),
        "`config.json` asks for `tie_word_embeddings` = `false`, which is not supported; known: true"
    );
}

#[test]
fn rows_with_nothing_hidden_change_nothing() {
    let fixture = fixture("bert-mask");
    let config = BertConfig::from_json(&fixture.config).expect("the configuration is known");
    let rows: Vec<Row> = fixture.batches.concat().into_iter().take(3).collect();
    let train = |rows: Vec<Row>, batch_size| {
        let model = config.word_predictor::<Autodiff<Flex>>(&burn_flex::FlexDevice);
        let subject = Subject::random(model, MaskTask, fixture.objective(), rows);
        let runner = subject.runner(Layout::Ragged, batch_size);
        let valid = subject.model.valid();
        let evaluated = runner.evaluate(&valid, &subject.rows, &burn_flex::FlexDevice);
        let mut recipe = plain_recipe(3, batch_size, 1e-2);
        recipe.train.accumulate = 6 / batch_size;
        let (_, steps, _) = subject.train(&recipe, Layout::Ragged);
        let losses: Vec<f64> = steps.iter().map(|step| step.loss).collect();
        (evaluated.loss, losses)
    };
    let empty = Row {
        target: Target::Masked(Vec::new()),
        ..rows[0].clone()
    };
    let with_empty: Vec<Row> = rows
        .iter()
        .flat_map(|row| [row.clone(), empty.clone()])
        .collect();
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
    // One alone in a batch, and one beside another row.
    let (loss, losses) = train(rows, 6);
    for batch_size in [1, 2] {
        let (found_loss, found) = train(with_empty.clone(), batch_size);
        near(found_loss, loss);
        assert_eq!(found.len(), losses.len());
        found.iter().zip(&losses).for_each(|(a, b)| near(*a, *b));
    }
}
