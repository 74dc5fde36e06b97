//! The bundled reviews are what their card says: balanced, varied, and not solved by word counts.

use std::collections::{BTreeSet, HashMap};

use rekindle_classification::bundled;
use rekindle_data::{Target, TextExample, TextInput, duplicates, overlap};

fn text(row: &TextExample) -> &str {
    match &row.input {
        TextInput::Single(text) | TextInput::Pair(text, _) => text,
    }
}

fn is_positive(row: &TextExample) -> bool {
    row.target == Target::Class("positive".to_owned())
}

fn words(row: &TextExample) -> Vec<String> {
    let lower = text(row).to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '\'');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn all() -> Vec<TextExample> {
    [bundled::train().rows, bundled::valid().rows].concat()
}

#[test]
fn there_are_at_least_600_reviews() {
    assert!(all().len() >= 600);
    assert!(bundled::valid().rows.len() >= 60);
}

#[test]
fn each_part_is_balanced() {
    for rows in [bundled::train().rows, bundled::valid().rows] {
        let positive = rows.iter().filter(|row| is_positive(row)).count();
        let share = positive as f64 / rows.len() as f64;
        assert!((0.45..=0.55).contains(&share), "{share}");
    }
    let labels = bundled::train().labels();
    assert_eq!(labels.names(), ["negative", "positive"]);
    bundled::valid().check_labels(&labels).unwrap();
}

#[test]
fn no_review_comes_twice() {
    let rows = all();
    assert_eq!(duplicates(rows.iter().map(words)), 0);
    let (train, valid) = (bundled::train(), bundled::valid());
    assert_eq!(
        overlap(train.rows.iter().map(text), valid.rows.iter().map(text)),
        0
    );
}

#[test]
fn no_run_of_five_words_is_in_more_than_two_percent_of_the_rows() {
    let rows = all();
    let mut counts: HashMap<Vec<String>, usize> = HashMap::new();
    for row in &rows {
        let runs: BTreeSet<Vec<String>> = words(row).windows(5).map(<[_]>::to_vec).collect();
        for run in runs {
            *counts.entry(run).or_default() += 1;
        }
    }
    let (run, count) = counts.iter().max_by_key(|(_, count)| **count).unwrap();
    assert!(*count * 50 <= rows.len(), "{run:?} is in {count} rows");
}

#[test]
fn word_counts_alone_stay_below_85_percent() {
    let (train, valid) = (bundled::train().rows, bundled::valid().rows);
    let mut vocabulary = HashMap::new();
    let train: Vec<_> = train
        .iter()
        .map(|row| features(row, &mut vocabulary))
        .collect();
    let known = vocabulary.len();
    let valid: Vec<_> = valid
        .iter()
        .map(|row| features(row, &mut vocabulary))
        .collect();
    let accuracies = [1e-4, 1e-3, 3e-3, 1e-2, 3e-2].map(|decay| {
        let model = fit(&train, known, decay);
        let right = valid
            .iter()
            .filter(|(x, y)| (model.logit(x) > 0.0) == (*y > 0.5));
        right.count() as f64 / valid.len() as f64
    });
    let best = accuracies.into_iter().fold(0.0, f64::max);
    assert!(
        best < 0.85,
        "accuracy by strength of the decay: {accuracies:?}"
    );
    // The model does learn: what is below the limit is the data's merit, not a broken fit.
    let weak = fit(&train, known, 1e-4);
    let learned = train
        .iter()
        .filter(|(x, y)| (weak.logit(x) > 0.0) == (*y > 0.5));
    assert!(learned.count() as f64 > 0.95 * train.len() as f64);
}

/// Words of a row with `log(1 + count)`, and 1 for positive.
type Row = (Vec<(usize, f64)>, f64);

fn features(row: &TextExample, vocabulary: &mut HashMap<String, usize>) -> Row {
    let mut counts: HashMap<usize, f64> = HashMap::new();
    for word in words(row) {
        let next = vocabulary.len();
        *counts
            .entry(*vocabulary.entry(word).or_insert(next))
            .or_default() += 1.0;
    }
    let x = counts
        .into_iter()
        .map(|(word, count)| (word, count.ln_1p()))
        .collect();
    (x, f64::from(u8::from(is_positive(row))))
}

struct Logistic {
    weights: Vec<f64>,
    bias: f64,
}

impl Logistic {
    /// Words that training never saw have no weight.
    fn logit(&self, x: &[(usize, f64)]) -> f64 {
        let known = x.iter().filter(|(word, _)| *word < self.weights.len());
        self.bias
            + known
                .map(|(word, value)| self.weights[*word] * value)
                .sum::<f64>()
    }
}

/// Logistic regression with an L2 penalty, by full-batch gradient descent with momentum.
fn fit(rows: &[Row], words: usize, decay: f64) -> Logistic {
    let (rate, momentum) = (0.5, 0.9);
    let mut model = Logistic {
        weights: vec![0.0; words],
        bias: 0.0,
    };
    let mut speed = vec![0.0; words + 1];
    for _ in 0..400 {
        let mut gradient: Vec<f64> = model.weights.iter().map(|weight| weight * decay).collect();
        gradient.push(0.0);
        for (x, y) in rows {
            let error = (1.0 / (1.0 + (-model.logit(x)).exp()) - y) / rows.len() as f64;
            for (word, value) in x {
                gradient[*word] += error * value;
            }
            gradient[words] += error;
        }
        for (speed, gradient) in speed.iter_mut().zip(&gradient) {
            *speed = momentum * *speed - rate * gradient;
        }
        for (weight, step) in model.weights.iter_mut().zip(&speed) {
            *weight += step;
        }
        model.bias += speed[words];
    }
    model
}
