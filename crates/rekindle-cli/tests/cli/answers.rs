//! `eval` and `predict`: numbers and answers of every task, in every form.

use serde_json::{Value, json};

use crate::place::{Called, Place, keys};

/// A run with a model for reviews of two labels.
fn trained() -> Place {
    let place = Place::with_reviews();
    train(&place);
    place
}

fn train(place: &Place) {
    let flags = [
        "--epochs",
        "40",
        "--batch-size",
        "8",
        "--learning-rate",
        "5e-3",
    ];
    // Without evaluations, the weights of the last step are kept.
    let data = ["--data", "train.jsonl", "--set", "data.valid_fraction=0"];
    place.train(&[&["--model", "base"], &data[..], &flags].concat());
}

fn answer(place: &Place, arguments: &[&str]) -> Called {
    place.call(
        &[
            &["predict", "--model", "run", "--backend", "flex"],
            arguments,
        ]
        .concat(),
    )
}

fn eval(place: &Place, arguments: &[&str]) -> Called {
    let always = ["eval", "--model", "run", "--backend", "flex"];
    let data = ["--data", "train.jsonl"];
    place
        .call(&[&always[..], &data, arguments].concat())
        .expect_code(0)
}

#[test]
fn texts_are_answered_in_their_order() {
    let place = trained();
    let texts = [
        "--text",
        "the film was awful",
        "--text",
        "the film was good",
    ];
    let answers = answer(&place, &texts).expect_code(0).objects();
    assert_eq!(answers.len(), 2);
    for (answer, (text, label)) in answers
        .iter()
        .zip([("the film was awful", "bad"), ("the film was good", "good")])
    {
        assert_eq!(keys(answer), ["text", "label", "scores"]);
        assert_eq!(answer["text"], text);
        assert_eq!(answer["label"], label);
        assert_eq!(keys(&answer["scores"]), ["bad", "good"]);
        let sum: f64 = answer["scores"]
            .as_object()
            .unwrap()
            .values()
            .map(|s| s.as_f64().unwrap())
            .sum();
        assert!((sum - 1.0).abs() < 1e-9, "{answer}");
        assert!(answer["scores"][label].as_f64().unwrap() > 0.5, "{answer}");
    }
}

#[test]
fn logits_stand_in_the_order_of_the_label_ids() {
    let place = trained();
    let answers = answer(&place, &["--text", "the film was good", "--logits"]).objects();
    let logits: Vec<f64> = serde_json::from_value(answers[0]["logits"].clone()).unwrap();
    let odds = (logits[0] - logits[1]).exp();
    let score = |name: &str| answers[0]["scores"][name].as_f64().unwrap();
    let expected = score("bad") / score("good");
    assert!((odds / expected - 1.0).abs() < 1e-6, "{odds} {expected}");
}

/// Rows of which two cannot be answered.
const MIXED: &str =
    "{\"id\": 7, \"text\": \"a film\"}\n{\"text\": 5}\nnot json\n{\"text\": \"a book\"}\n";

fn check_mixed(answers: &[Value]) {
    assert_eq!(answers.len(), 4);
    assert_eq!(keys(&answers[0]), ["id", "text", "label", "scores"]);
    assert_eq!(
        answers[1],
        json!({"text": 5, "error": "line 2: field `text`: holds an integer"})
    );
    assert_eq!(keys(&answers[2]), ["error"]);
    assert!(
        answers[2]["error"]
            .as_str()
            .unwrap()
            .starts_with("line 3: not valid JSON")
    );
    assert_eq!(answers[3]["text"], "a book");
    assert!(answers[3]["label"].is_string());
}

#[test]
fn a_bad_row_gets_an_error_and_the_others_go_on() {
    let place = trained();
    place.write("rows.jsonl", MIXED);
    let called = answer(&place, &["--input", "rows.jsonl"]).expect_code(1);
    check_mixed(&called.objects());
    assert_eq!(
        called.err,
        "error: 2 rows could not be answered; each holds its `error`\n"
    );
}

#[test]
fn rows_are_read_from_standard_input_and_written_to_a_file() {
    let place = trained();
    let always = ["predict", "--model", "run", "--backend", "flex"];
    let files = ["--input", "-", "--output", "answers.jsonl"];
    let called = place
        .call_with(&[&always[..], &files].concat(), MIXED)
        .expect_code(1);
    assert_eq!(called.out, "");
    check_mixed(&place.objects("answers.jsonl"));
}

#[test]
fn a_table_is_answered_with_its_fields_kept() {
    let place = trained();
    place.write("rows.csv", "id,text\n3,the film was good\n4,\"a, b\"\n");
    let answers = answer(&place, &["--input", "rows.csv"])
        .expect_code(0)
        .objects();
    assert_eq!(answers[0]["id"], "3");
    assert_eq!(answers[0]["label"], "good");
    assert_eq!(answers[1]["text"], "a, b");
}

#[test]
fn more_rows_than_are_held_at_once_keep_their_order() {
    let place = trained();
    let row = |id: usize| json!({"id": id, "text": format!("film{}", " good".repeat(id % 5))});
    place.rows("many.jsonl", &(0..2500).map(row).collect::<Vec<_>>());
    let answers = answer(&place, &["--input", "many.jsonl"])
        .expect_code(0)
        .objects();
    let ids: Vec<u64> = answers
        .iter()
        .map(|answer| answer["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (0..2500).collect::<Vec<_>>());
    for pair in answers.iter().zip(&answers[5..]) {
        assert_eq!(
            pair.0["label"], pair.1["label"],
            "the same text has the same answer"
        );
    }
}

#[test]
fn long_rows_are_cut_and_counted() {
    let place = trained();
    let long = "very ".repeat(50);
    let called = answer(&place, &["--text", &long, "--text", "good"]).expect_code(0);
    assert_eq!(
        called.err,
        "warning: 1 rows were cut to the maximum length\n"
    );
    let short = answer(&place, &["--text", "a good film", "--max-length", "4"]).expect_code(0);
    assert_eq!(
        short.err,
        "warning: 1 rows were cut to the maximum length\n"
    );
}

#[test]
fn an_evaluation_is_a_table() {
    let called = eval(&trained(), &[]);
    let expected = "rows             20\n\
                    accuracy         1.0000\n\
                    macro_f1         1.0000\n\
                    micro_f1         1.0000\n\
                    mcc              1.0000\n\
                    \n\
                    class precision   recall       f1     rows\n\
                    bad      1.0000   1.0000   1.0000       10\n\
                    good     1.0000   1.0000   1.0000       10\n\
                    \n\
                    confusion (rows: expected, columns: predicted, in the order above)\n    \
                    10     0\n     0    10\n";
    let without_loss: String = called
        .out
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("loss "))
        .collect();
    assert_eq!(without_loss, expected);
}

#[test]
fn an_evaluation_is_an_object() {
    let place = trained();
    let called = eval(&place, &["--json"]);
    let [evaluation] = &called.objects()[..] else {
        panic!("one object: {}", called.out)
    };
    assert_eq!(keys(evaluation), ["rows", "loss", "metrics", "details"]);
    assert_eq!(
        keys(&evaluation["metrics"]),
        ["accuracy", "macro_f1", "micro_f1", "mcc"]
    );
    assert_eq!(
        evaluation["details"]["confusion"],
        json!([[10, 0], [0, 10]])
    );
}

#[test]
fn the_losses_of_rows_have_the_mean_of_the_evaluation() {
    let place = trained();
    let called = eval(&place, &["--json", "--per-example", "rows.jsonl"]);
    let rows = place.objects("rows.jsonl");
    let numbers: Vec<u64> = rows
        .iter()
        .map(|row| row["row"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    for row in &rows {
        assert_eq!(keys(row), ["row", "loss", "tokens", "nll"]);
        assert_eq!(row["loss"], row["nll"], "one target a row");
    }
    let sum: f64 = rows.iter().map(|row| row["nll"].as_f64().unwrap()).sum();
    let loss = called.objects()[0]["loss"].as_f64().unwrap();
    assert!((sum / 20.0 - loss).abs() < 1e-12, "{sum} {loss}");
}

#[test]
fn several_labels_are_trained_and_answered() {
    let place = Place::new();
    place.model("bert-multi", "base");
    let row = |index: usize| match index % 3 {
        0 => json!({"text": "a good film", "label": ["x"]}),
        1 => json!({"text": "the book was awful", "label": ["x", "y"]}),
        _ => json!({"text": "so", "label": []}),
    };
    place.rows("train.jsonl", &(0..18).map(row).collect::<Vec<_>>());
    train(&place);
    assert_eq!(place.event("run", "start")["task"], "multi-label");
    let texts = ["--text", "the book was awful", "--text", "so", "--logits"];
    let answers = answer(&place, &texts).expect_code(0).objects();
    assert_eq!(keys(&answers[0]), ["text", "labels", "scores", "logits"]);
    assert_eq!(answers[0]["labels"], json!(["x", "y"]));
    assert_eq!(answers[1]["labels"], json!([]));
    let called = eval(&place, &["--json", "--per-example", "rows.jsonl"]);
    let metrics = &called.objects()[0]["metrics"];
    assert_eq!(
        metrics,
        &json!({"micro_f1": 1.0, "macro_f1": 1.0, "subset_accuracy": 1.0})
    );
    assert_eq!(
        place.objects("rows.jsonl")[0]["tokens"],
        2,
        "one target for each label"
    );
}

#[test]
fn numbers_are_trained_and_answered() {
    let place = Place::new();
    place.model("bert-regression", "base");
    let row = |index: usize| match index % 3 {
        0 => json!({"text": "a good film", "score": 1.5}),
        1 => json!({"text": "the book was awful", "score": -1.0}),
        _ => json!({"text": "so", "score": 0.25}),
    };
    place.rows("train.jsonl", &(0..18).map(row).collect::<Vec<_>>());
    train(&place);
    assert_eq!(place.event("run", "start")["task"], "regress");
    let answers = answer(&place, &["--text", "a good film", "--logits"])
        .expect_code(0)
        .objects();
    assert_eq!(keys(&answers[0]), ["text", "score", "logits"]);
    let score = answers[0]["score"].as_f64().unwrap();
    assert!((score - 1.5).abs() < 0.4, "{score}");
    assert_eq!(answers[0]["logits"], json!([score]));
    let metrics = &eval(&place, &["--json"]).objects()[0]["metrics"];
    assert_eq!(keys(metrics), ["spearman", "pearson", "mse", "mae"]);
    let table = place.read("run/metrics.csv");
    let row = table.lines().nth(1).unwrap();
    assert_eq!(row.split(',').nth(2), Some(""), "no accuracy of numbers");
}

#[test]
fn tags_are_trained_and_answered() {
    let place = Place::new();
    place.model("bert-token", "base");
    let row = |index: usize| {
        let (name, city) = (
            ["anna", "tom"][index % 2],
            ["paris", "london"][index % 3 % 2],
        );
        json!({"tokens": [name, "lives", "in", city], "tags": ["B-PER", "O", "O", "B-LOC"]})
    };
    place.rows("train.jsonl", &(0..18).map(row).collect::<Vec<_>>());
    train(&place);
    assert_eq!(place.event("run", "start")["task"], "tag");
    place.rows(
        "rows.jsonl",
        &[
            json!({"tokens": ["tom", "in", "london"]}),
            json!({"text": "anna lives"}),
        ],
    );
    let called = answer(&place, &["--input", "rows.jsonl", "--logits"]).expect_code(0);
    let answers = called.objects();
    assert_eq!(keys(&answers[0]), ["tokens", "tags", "logits"]);
    assert_eq!(answers[0]["tags"], json!(["B-PER", "O", "B-LOC"]));
    assert_eq!(answers[1]["tags"], json!(["B-PER", "O"]));
    let logits: Vec<Vec<f64>> = serde_json::from_value(answers[0]["logits"].clone()).unwrap();
    assert_eq!(logits.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
    let evaluation = &eval(&place, &["--json"]).objects()[0];
    assert_eq!(
        keys(&evaluation["metrics"]),
        ["f1", "precision", "recall", "token_accuracy"]
    );
    assert_eq!(evaluation["metrics"]["f1"], 1.0);
}
