//! When two results count as equal.

/// Fails unless all numbers are within `tolerance` of the expected ones.
///
/// # Panics
/// If they are not, naming the worst one.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let (index, difference) = worst(found, expected);
    assert!(
        difference <= tolerance,
        "{what}: value {index} is {}, expected {}, off by {difference:e} (tolerance {tolerance:e})",
        found[index],
        expected[index],
    );
}

/// Fails unless a gradient is within `tolerance` of the expected one, relative to its largest number,
/// and within a hundredth of that of the global norm: a true gradient of zero leaves rounding noise.
///
/// # Panics
/// If it is not.
pub fn assert_gradient_close(
    what: &str,
    found: &[f32],
    expected: &[f32],
    tolerance: f64,
    norm: f64,
) {
    let allowed = tolerance * largest(expected) + tolerance * 1e-2 * norm;
    assert_close(what, found, expected, allowed);
}

/// The largest absolute value.
pub fn largest(values: &[f32]) -> f64 {
    values
        .iter()
        .fold(0.0, |most, &value| f64::from(value).abs().max(most))
}

fn worst(found: &[f32], expected: &[f32]) -> (usize, f64) {
    let mut worst = (0, 0.0);
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - f64::from(expected)).abs();
        // A NaN is the worst.
        if difference > worst.1 || difference.is_nan() {
            worst = (index, difference);
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "value 1 is 2.5")]
    fn a_distant_value_is_named() {
        assert_close("x", &[1.0, 2.5], &[1.0, 2.0], 0.1);
    }

    #[test]
    #[should_panic(expected = "off by NaN")]
    fn a_nan_is_never_close() {
        assert_close("x", &[1.0, f32::NAN, 3.0], &[1.0, 2.0, 3.0], 0.1);
    }
}
