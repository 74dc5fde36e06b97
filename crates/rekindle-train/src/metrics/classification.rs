//! One class per row: accuracy, F1, Matthews correlation, confusion matrix.

use serde::Serialize;

use super::score::{ClassScore, Counts, mean_f1, ratio};

/// Scores of a classification with one class per row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Share of rows whose class is right.
    pub accuracy: f64,
    /// Mean F1 of the classes that occur among the expected or the predicted ones.
    ///
    /// A class that occurs in neither has an entry in `classes` but does not count here, as in
    /// scikit-learn's `f1_score(labels=None)`.
    pub macro_f1: f64,
    /// F1 of the counts summed over classes, equal to the accuracy.
    pub micro_f1: f64,
    /// Matthews correlation coefficient, 0 where all rows are of one class.
    pub mcc: f64,
    /// One entry per class, in the order of the class ids.
    pub classes: Vec<ClassScore>,
    /// Number of rows by `[expected][predicted]` class id.
    pub confusion: Vec<Vec<usize>>,
}

/// Compares the class ids of rows, each below `num_classes`.
///
/// # Panics
/// If the two differ in length or an id is not below `num_classes`.
pub fn classification(expected: &[usize], predicted: &[usize], num_classes: usize) -> ClassReport {
    assert_eq!(expected.len(), predicted.len(), "one prediction per row");
    let mut confusion = vec![vec![0; num_classes]; num_classes];
    for (&expected, &predicted) in expected.iter().zip(predicted) {
        confusion[expected][predicted] += 1;
    }
    let counts: Vec<Counts> = (0..num_classes)
        .map(|class| Counts {
            hits: confusion[class][class],
            predicted: confusion.iter().map(|row| row[class]).sum(),
            expected: confusion[class].iter().sum(),
        })
        .collect();
    let classes: Vec<ClassScore> = counts.iter().map(|count| count.score()).collect();
    let seen = counts
        .iter()
        .zip(&classes)
        .filter(|(count, _)| count.expected + count.predicted > 0)
        .map(|(_, score)| score);
    let total = Counts::sum(counts.iter().copied());
    ClassReport {
        accuracy: ratio(total.hits, expected.len()),
        macro_f1: mean_f1(seen),
        micro_f1: total.score().f1,
        mcc: matthews_correlation(&counts, total),
        classes,
        confusion,
    }
}

/// Multi-class Matthews correlation (Gorodkin 2004, equation 8, in terms of class counts).
fn matthews_correlation(counts: &[Counts], total: Counts) -> f64 {
    // Each product is of sums of counts, so it is exact up to 2^26 rows.
    let dot = |left: fn(&Counts) -> usize, right: fn(&Counts) -> usize| -> f64 {
        counts
            .iter()
            .map(|count| left(count) as f64 * right(count) as f64)
            .sum()
    };
    let rows = total.expected as f64;
    let covariance = total.hits as f64 * rows - dot(|c| c.expected, |c| c.predicted);
    let expected_variance = rows * rows - dot(|c| c.expected, |c| c.expected);
    let predicted_variance = rows * rows - dot(|c| c.predicted, |c| c.predicted);
    if expected_variance == 0.0 || predicted_variance == 0.0 {
        0.0
    } else {
        covariance / (expected_variance.sqrt() * predicted_variance.sqrt())
    }
}
