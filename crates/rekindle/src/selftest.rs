//! Proves that a backend computes what training needs: every operation and layer, forward and backward,
//! and 20 training steps of a tiny encoder and of a tiny decoder, the latter with and without adapters.
//!
//! `flex` is compared with numbers that torch computed, every other backend with `flex` in the same
//! process. Inputs and expected numbers are part of the binary, so that a binary carried to another
//! machine proves that machine.

mod bert;
mod compare;
mod llama;
mod operations;
mod passes;
mod stored;
mod suite;
mod updates;

use std::fmt;

use rekindle_train::batch::Layout;
use rekindle_train::recipe::Precision;
use rekindle_train::task::TrainableBackend;

use crate::backend::{Choice, Job, choose};
use suite::{Measured, Suite};

/// Largest deviation from `flex`, for f32: other kernels add up in another order, and GPUs have their
/// own approximations of transcendental functions.
const OTHER_BACKEND: f64 = 1e-3;

/// Rows of the padded layouts are as long as on GPUs.
const WIDTH_MULTIPLE: usize = 16;

/// What became of every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What the backend was compared with; its bf16 is compared with the f32 of torch in any case.
    pub reference: Reference,
    /// Whether the device computes in bf16; without that, nothing tells of it.
    pub has_bf16: bool,
    /// The checks, in the order in which they ran.
    pub rows: Vec<Check>,
}

/// Where the expected numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Numbers that torch computed, stored in the binary.
    Torch,
    /// The backend `flex`, run in the same process.
    Flex,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Operation, layer or model.
    pub name: String,
    /// Which of its results.
    pub what: What,
    /// Largest difference, divided by the scale of the expected numbers; NaN if there is no number.
    pub deviation: f64,
    /// Largest deviation that rounding explains.
    pub tolerance: f64,
    /// Why it failed: the largest difference and where it is, or the message of a panic.
    pub failure: Option<String>,
}

/// A kind of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An output.
    Forward,
    /// Gradients of all inputs or parameters.
    Gradient,
    /// A loss, or the losses of several steps.
    Loss,
    /// Norms of gradients.
    Norm,
    /// Weights after an update, and the optimizer's moments.
    Update,
}

/// Runs every check on a backend. A check that panics fails, and the others still run.
pub fn run(choice: &Choice) -> Report {
    // Kernels are compiled for each shape, and no GPU ever trains on rows of all lengths.
    let has_ragged = choice.layout() == Layout::Ragged;
    let measure = |with_bf16| Measure {
        with_bf16,
        has_ragged,
    };
    let Measurements { rows, bf16 } = choice.run(measure(true));
    let is_flex = choice.found.backend == "flex";
    let flex = choose("flex").ok().filter(|_| !is_flex);
    let reference = if flex.is_some() {
        Reference::Flex
    } else {
        Reference::Torch
    };
    let mut checks: Vec<Check> = if let Some(flex) = flex {
        let expected = flex.run(measure(false)).rows;
        let pairs = rows.iter().zip(&expected);
        pairs
            .map(|(check, expected)| check.against(expected, OTHER_BACKEND))
            .collect()
    } else {
        let tolerance = |check: &Measured| {
            if is_flex {
                check.tolerance
            } else {
                OTHER_BACKEND
            }
        };
        rows.iter()
            .map(|check| check.against_stored(tolerance(check)))
            .collect()
    };
    let has_bf16 = bf16.is_some();
    let bf16 = bf16.into_iter().flatten();
    checks.extend(bf16.map(|check| check.against_stored(check.tolerance)));
    Report {
        reference,
        has_bf16,
        rows: checks,
    }
}

/// Every check on one backend, not yet compared.
struct Measure {
    with_bf16: bool,
    /// Whether models are measured with ragged rows too; the operations are in any case.
    has_ragged: bool,
}

/// What a backend computed.
struct Measurements {
    rows: Vec<Measured>,
    /// The checks in bf16; `None` where they are not asked for, or the device has none.
    bf16: Option<Vec<Measured>>,
}

impl Job for Measure {
    type Output = Measurements;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let mut suite = Suite::default();
        operations::measure::<B>(&mut suite, device);
        updates::measure::<B>(&mut suite, device);
        bert::measure::<B>(&mut suite, self.has_ragged, device);
        llama::measure::<B>(&mut suite, self.has_ragged, device);
        let has_bf16 = self.with_bf16 && Precision::Bf16.is_supported::<B>(device);
        let bf16 = has_bf16.then(|| {
            let mut suite = Suite::default();
            operations::decoder::measure_bf16::<B>(&mut suite, device);
            suite.into_rows()
        });
        Measurements {
            rows: suite.into_rows(),
            bf16,
        }
    }
}

impl Report {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.num_failed() == 0
    }

    /// Checks that failed.
    pub fn num_failed(&self) -> usize {
        self.rows.iter().filter(|check| !check.passed()).count()
    }
}

impl Check {
    /// Whether the deviation is within the tolerance.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Torch => "numbers stored from torch",
            Self::Flex => "`flex` in the same process",
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Forward => "forward",
            Self::Gradient => "gradient",
            Self::Loss => "loss",
            Self::Norm => "norm",
            Self::Update => "update",
        })
    }
}
