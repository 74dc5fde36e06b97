//! Any number of labels per row: F1 per label and over all, exact matches.

use serde::Serialize;

use super::score::{ClassScore, Counts, mean_f1, ratio};

/// Scores of a classification with any number of labels per row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// F1 of the counts summed over labels.
    pub micro_f1: f64,
    /// Mean F1 of all labels, those that never occur included (as 0).
    pub macro_f1: f64,
    /// Share of rows whose whole set of labels is right.
    pub subset_accuracy: f64,
    /// One entry per label, in the order of the label ids.
    pub labels: Vec<ClassScore>,
}

/// Compares rows of flags, one flag per label.
///
/// # Panics
/// If the two differ in the number of rows, or rows in the number of labels.
pub fn multi_label(expected: &[Vec<bool>], predicted: &[Vec<bool>]) -> MultiLabelReport {
    assert_eq!(expected.len(), predicted.len(), "one prediction per row");
    let mut counts = vec![Counts::default(); expected.first().map_or(0, Vec::len)];
    let mut matches = 0;
    for (expected, predicted) in expected.iter().zip(predicted) {
        assert_eq!(expected.len(), counts.len(), "one flag per label");
        assert_eq!(predicted.len(), counts.len(), "one flag per label");
        for ((count, &expected), &predicted) in counts.iter_mut().zip(expected).zip(predicted) {
            count.hits += usize::from(expected && predicted);
            count.predicted += usize::from(predicted);
            count.expected += usize::from(expected);
        }
        matches += usize::from(expected == predicted);
    }
    let labels: Vec<ClassScore> = counts.iter().map(|count| count.score()).collect();
    MultiLabelReport {
        micro_f1: Counts::sum(counts).score().f1,
        macro_f1: mean_f1(&labels),
        subset_accuracy: ratio(matches, expected.len()),
        labels,
    }
}
