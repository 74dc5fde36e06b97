//! Precision, recall and F1 from counts.

use serde::Serialize;

/// How well one class, label or entity type is recognized.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScore {
    /// Share of its predictions that are right.
    pub precision: f64,
    /// Share of its occurrences that are found.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of its occurrences in the expected answers.
    pub support: usize,
}

/// How often something was found, predicted and expected.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) hits: usize,
    pub(super) predicted: usize,
    pub(super) expected: usize,
}

impl Counts {
    pub(super) fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        counts.into_iter().fold(Self::default(), |sum, count| Self {
            hits: sum.hits + count.hits,
            predicted: sum.predicted + count.predicted,
            expected: sum.expected + count.expected,
        })
    }

    pub(super) fn score(self) -> ClassScore {
        ClassScore {
            precision: ratio(self.hits, self.predicted),
            recall: ratio(self.hits, self.expected),
            f1: ratio(2 * self.hits, self.predicted + self.expected),
            support: self.expected,
        }
    }
}

/// The quotient, or 0 where there is nothing to divide by.
pub(super) fn ratio(numerator: usize, denominator: usize) -> f64 {
    if denominator == 0 {
        0.0
    } else {
        numerator as f64 / denominator as f64
    }
}

/// The mean F1, or 0 of no scores.
pub(super) fn mean_f1<'a>(scores: impl IntoIterator<Item = &'a ClassScore>) -> f64 {
    let (sum, count) = scores
        .into_iter()
        .fold((0.0, 0), |(sum, count), score| (sum + score.f1, count + 1));
    if count == 0 {
        0.0
    } else {
        sum / f64::from(count)
    }
}
