//! How far numbers are from what is expected.

/// By what a difference is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// By one: the deviation is absolute.
    One,
    /// By the largest expected magnitude.
    Largest,
    /// Each by its own expected magnitude.
    Each,
    /// By the largest expected magnitude, and a hundredth of the norm over all gradients of the model:
    /// some gradients are truly zero, and their rounding noise is as large as that of their neighbors.
    Gradient {
        /// The norm over all gradients.
        norm: f64,
    },
}

/// The largest deviation among numbers, and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deviation {
    pub(super) value: f64,
    pub(super) index: usize,
}

impl Scale {
    /// Compares numbers of the same count; a number that is not finite has an infinite deviation.
    pub(super) fn deviation(self, found: &[f32], expected: &[f32]) -> Deviation {
        assert_eq!(
            found.len(),
            expected.len(),
            "a result has as many numbers as expected"
        );
        let largest = expected
            .iter()
            .fold(0.0_f64, |most, &value| most.max(f64::from(value).abs()));
        let deviations = found.iter().zip(expected).map(|(&found, &expected)| {
            let difference = (f64::from(found) - f64::from(expected)).abs();
            let scale = match self {
                Self::One => 1.0,
                Self::Largest => largest,
                Self::Each => f64::from(expected).abs(),
                Self::Gradient { norm } => largest + 0.01 * norm,
            };
            match difference / scale {
                _ if difference == 0.0 => 0.0,
                deviation if deviation.is_finite() => deviation,
                _ => f64::INFINITY,
            }
        });
        let worst = deviations
            .enumerate()
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (index, value) = worst.expect("a result has at least one number");
        Deviation { value, index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_number_is_found_and_scaled() {
        let expected = [1.0, -8.0, 0.5];
        let found = [1.0, -8.0, 1.5];
        let value = |scale: Scale| scale.deviation(&found, &expected).value;
        assert_eq!(value(Scale::One), 1.0);
        assert_eq!(value(Scale::Largest), 0.125);
        assert_eq!(value(Scale::Each), 2.0);
        assert_eq!(value(Scale::Gradient { norm: 200.0 }), 0.1);
        assert_eq!(Scale::One.deviation(&found, &expected).index, 2);
    }

    #[test]
    fn equal_numbers_deviate_by_nothing_even_from_zero() {
        for scale in [Scale::One, Scale::Largest, Scale::Each] {
            assert_eq!(scale.deviation(&[0.0, -0.0], &[0.0, 0.0]).value, 0.0);
        }
    }

    #[test]
    fn what_is_not_a_number_deviates_without_bound() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let deviation = Scale::Largest.deviation(&[2.0, wrong], &[1.0, 1.0]);
            assert_eq!(deviation.value, f64::INFINITY);
            assert_eq!(deviation.index, 1);
        }
    }

    #[test]
    #[should_panic(expected = "as many numbers")]
    fn a_missing_number_is_not_overlooked() {
        Scale::One.deviation(&[1.0], &[1.0, 2.0]);
    }
}
