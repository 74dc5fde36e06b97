//! One number per row: errors and correlations.

use serde::Serialize;

/// Scores of a regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegressionReport {
    /// Mean squared error, 0 of no rows.
    pub mse: f64,
    /// Mean absolute error, 0 of no rows.
    pub mae: f64,
    /// Linear correlation.
    ///
    /// None where it is undefined: fewer than two rows, all values of one side equal, or a value
    /// that is not finite. scipy's `pearsonr` gives NaN or an error there.
    pub pearson: Option<f64>,
    /// Pearson correlation of the ranks, ties sharing their mean rank; none where `pearson` is.
    pub spearman: Option<f64>,
}

/// Compares the numbers of rows.
///
/// # Panics
/// If the two differ in length.
pub fn regression(expected: &[f64], predicted: &[f64]) -> RegressionReport {
    assert_eq!(expected.len(), predicted.len(), "one prediction per row");
    let mean_error = |error: fn(f64) -> f64| {
        let errors = expected.iter().zip(predicted).map(|(e, p)| error(p - e));
        errors.sum::<f64>() / expected.len().max(1) as f64
    };
    let (pearson, spearman) = if is_correlatable(expected) && is_correlatable(predicted) {
        let ranked = correlation(&ranks(expected), &ranks(predicted));
        (Some(correlation(expected, predicted)), Some(ranked))
    } else {
        (None, None)
    };
    RegressionReport {
        mse: mean_error(|error| error * error),
        mae: mean_error(f64::abs),
        pearson,
        spearman,
    }
}

/// True for finite values that are not all equal.
fn is_correlatable(values: &[f64]) -> bool {
    let is_constant = values.windows(2).all(|pair| pair[1] - pair[0] == 0.0);
    !is_constant && values.iter().all(|value| value.is_finite())
}

/// Pearson correlation of values that are not all equal.
fn correlation(left: &[f64], right: &[f64]) -> f64 {
    let products = standardize(left).into_iter().zip(standardize(right));
    let sum: f64 = products.map(|(left, right)| left * right).sum();
    // Rounding may leave the interval by an ulp.
    sum.clamp(-1.0, 1.0)
}

/// The values around a mean of 0 and with a norm of 1.
fn standardize(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let centered = values.iter().map(|value| value - mean);
    // Squares of very small or very large values would leave the range of a float.
    let scale = centered
        .clone()
        .fold(0.0, |max: f64, value| max.max(value.abs()));
    let scaled: Vec<f64> = centered.map(|value| value / scale).collect();
    let norm = scaled.iter().map(|value| value * value).sum::<f64>().sqrt();
    scaled.into_iter().map(|value| value / norm).collect()
}

/// The rank of each value counted from 1, equal values sharing the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    // In ascending order, "not below the next" means "equal to it" (and -0 equals 0).
    for ties in order.chunk_by(|&left, &right| values[left] >= values[right]) {
        for &row in ties {
            ranks[row] = below as f64 + (ties.len() + 1) as f64 / 2.0;
        }
        below += ties.len();
    }
    ranks
}
