//! Runs checks one by one, and goes on after a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Tensor, backend::Backend};
use rekindle_train::task::TrainableBackend;

use super::compare::Scale;
use super::stored::{Array, Case};
use super::{Check, What};

/// The checks of one backend so far.
#[derive(Default)]
pub(super) struct Suite {
    rows: Vec<Measured>,
}

/// Results of one check.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) what: What,
    /// Largest deviation from the stored numbers.
    pub(super) tolerance: f64,
    /// What was computed, or the message of a panic.
    pub(super) results: Result<Vec<Computed>, String>,
}

/// One array that was computed.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    /// Which one: `output`, or the name of a parameter.
    pub(super) label: String,
    pub(super) found: Vec<f32>,
    pub(super) stored: Vec<f32>,
    pub(super) scale: Scale,
}

impl Suite {
    pub(super) fn into_rows(self) -> Vec<Measured> {
        self.rows
    }

    /// Adds one row for each kind of result that `measure` gives.
    pub(super) fn check<const N: usize>(
        &mut self,
        name: &str,
        tolerance: f64,
        whats: [What; N],
        measure: impl FnOnce() -> [Vec<Computed>; N],
    ) {
        // Nothing that a panic leaves half-done is used again.
        let results = match catch_unwind(AssertUnwindSafe(measure)) {
            Ok(results) => results.map(Ok),
            Err(panic) => whats.map(|_| Err(message(panic.as_ref()))),
        };
        let row = |(what, results)| Measured {
            name: name.to_owned(),
            what,
            tolerance,
            results,
        };
        self.rows.extend(whats.into_iter().zip(results).map(row));
    }

    /// Adds the output of an operation and the gradients of its inputs.
    ///
    /// `operation` takes the inputs one after the other.
    pub(super) fn operation<B: TrainableBackend, const D: usize>(
        &mut self,
        (name, what, tolerance): (&str, What, f64),
        case: &Case,
        device: &B::Device,
        operation: impl FnOnce(&mut Inputs<B>) -> Tensor<B, D>,
    ) {
        self.check(name, tolerance, [what, What::Gradient], || {
            let mut inputs = Inputs {
                case,
                device,
                gradients: Vec::new(),
            };
            let output = operation(&mut inputs);
            let up = Tensor::from_data(case.up.data(), device);
            let gradients = (output.clone() * up).sum().backward();
            let output = Computed::new("output", host(output), &case.output);
            let taken = inputs.gradients.iter().zip(&case.inputs).enumerate();
            let computed = taken.map(|(k, (read, input))| {
                let label = format!("gradient of input {k}");
                Computed::new(&label, read(&gradients), &input.gradient)
            });
            [vec![output], computed.collect()]
        });
    }
}

/// The inputs of a case as tensors of a backend.
pub(super) struct Inputs<'a, B: TrainableBackend> {
    case: &'a Case,
    device: &'a B::Device,
    gradients: Vec<Box<ReadGradient<B>>>,
}

type ReadGradient<B> =
    dyn Fn(&<B as burn::tensor::backend::AutodiffBackend>::Gradients) -> Vec<f32>;

impl<B: TrainableBackend> Inputs<'_, B> {
    /// The next input.
    pub(super) fn take<const D: usize>(&mut self) -> Tensor<B, D> {
        let data = self.case.inputs[self.gradients.len()].value.data();
        let tensor = Tensor::<B, D>::from_data(data, self.device).require_grad();
        let leaf = tensor.clone();
        self.gradients.push(Box::new(move |gradients| {
            host(leaf.grad(gradients).expect("the loss reaches each input"))
        }));
        tensor
    }
}

/// Values on the host, row by row.
pub(super) fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// What a panic says, in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Computed {
    /// An array whose differences are divided by its largest expected magnitude.
    pub(super) fn new(label: &str, found: Vec<f32>, stored: &Array) -> Self {
        Self {
            label: label.to_owned(),
            found,
            stored: stored.values.clone(),
            scale: Scale::Largest,
        }
    }
}

impl Measured {
    /// Compares with the stored numbers.
    pub(super) fn against_stored(&self, tolerance: f64) -> Check {
        let expected = self
            .results
            .iter()
            .flatten()
            .map(|computed| &computed.stored);
        self.judge(expected.map(Vec::as_slice).collect(), tolerance)
    }

    /// Compares with the same check on another backend.
    pub(super) fn against(&self, other: &Self, tolerance: f64) -> Check {
        match &other.results {
            Ok(results) => {
                let expected = results.iter().map(|computed| computed.found.as_slice());
                self.judge(expected.collect(), tolerance)
            }
            Err(message) => self.failed(tolerance, format!("the reference failed: {message}")),
        }
    }

    fn judge(&self, expected: Vec<&[f32]>, tolerance: f64) -> Check {
        let results = match &self.results {
            Ok(results) => results,
            Err(message) => return self.failed(tolerance, message.clone()),
        };
        let deviations = results.iter().zip(expected).map(|(computed, expected)| {
            let deviation = computed.scale.deviation(&computed.found, expected);
            (computed, expected, deviation)
        });
        let worst = deviations.max_by(|(_, _, a), (_, _, b)| a.value.total_cmp(&b.value));
        let (computed, expected, deviation) = worst.expect("a check computes something");
        let is_within = deviation.value <= tolerance;
        let failure = (!is_within).then(|| {
            let index = deviation.index;
            let (found, expected) = (computed.found[index], expected[index]);
            let label = &computed.label;
            format!("{label}[{index}] is {found:e}, expected {expected:e}")
        });
        Check {
            deviation: deviation.value,
            failure,
            ..self.failed(tolerance, String::new())
        }
    }

    fn failed(&self, tolerance: f64, failure: String) -> Check {
        Check {
            name: self.name.clone(),
            what: self.what,
            deviation: f64::NAN,
            tolerance,
            failure: Some(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(found: &[f32]) -> Measured {
        let mut suite = Suite::default();
        suite.check("product", 1e-5, [What::Forward], || {
            let computed = |found: &[f32], stored: &[f32]| Computed {
                label: "output".to_owned(),
                found: found.to_vec(),
                stored: stored.to_vec(),
                scale: Scale::Largest,
            };
            [vec![computed(&[7.0], &[7.0]), computed(found, &[1.0, 4.0])]]
        });
        suite.into_rows().remove(0)
    }

    #[test]
    fn a_wrong_number_fails_and_is_named() {
        assert!(measured(&[1.0, 4.000_02]).against_stored(1e-5).passed());
        let check = measured(&[1.0, 4.25]).against_stored(1e-5);
        assert_eq!(check.deviation, 0.0625);
        assert_eq!(check.failure.unwrap(), "output[1] is 4.25e0, expected 4e0");
    }

    #[test]
    fn what_is_not_a_number_fails() {
        let check = measured(&[f32::NAN, 4.0]).against_stored(1e-5);
        assert_eq!(check.failure.unwrap(), "output[0] is NaN, expected 1e0");
        let check = measured(&[1.0, 4.0]).against(&measured(&[1.0, f32::NAN]), 1e-3);
        assert!(!check.passed());
    }

    #[test]
    fn another_backend_is_the_reference_in_place_of_torch() {
        let (found, reference) = (measured(&[1.0, 9.0]), measured(&[1.0, 8.0]));
        assert_eq!(found.against(&reference, 1e-3).deviation, 0.125);
        assert!(found.against(&found, 1e-3).passed());
    }

    #[test]
    fn a_panic_fails_its_checks_and_the_next_one_runs() {
        let mut suite = Suite::default();
        suite.check("lost", 1e-5, [What::Loss, What::Gradient], || {
            panic!("the device\n is gone")
        });
        suite.check("found", 1e-5, [What::Forward], || [Vec::new()]);
        let rows = suite.into_rows();
        assert_eq!(rows.len(), 3);
        for row in &rows[..2] {
            let check = row.against_stored(row.tolerance);
            assert!(check.deviation.is_nan());
            assert_eq!(check.failure.unwrap(), "the device is gone");
        }
        assert!(rows[2].results.is_ok());
    }
}
