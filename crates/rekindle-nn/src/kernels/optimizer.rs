//! One pass over a parameter, its moments and its gradient.

use rayon::prelude::*;

use super::numbers::vectorized;
use super::table::PART;
use super::{Kernel, math};
use crate::AdamWStep;

/// Numbers that are looked at together for whether they have anything to do.
pub(super) const SPAN: usize = 1 << 7;

/// What a gradient is where nobody wrote it.
const ZEROS: &[f32; SPAN] = &[0.0; SPAN];

/// Moves a parameter and its two moments; see [`crate::composed::adamw_update`], whose order this keeps.
///
/// Where neither gradient nor moments are, as in the rows of a table that no text has had yet, decay is all
/// there is to do. The moments are not written then: the system has no memory for zeros that nobody wrote,
/// even if an optimizer reads them. Of a large table, see [`super::table`], what is known to be zero is not
/// even read: the parts of a gradient that were not written, and moments, for each span of which `is_idle`
/// tells, and is told, whether they are.
pub(super) fn adamw(
    state: [&mut [f32]; 3],
    gradient: &[f32],
    known: Option<(&[bool], &mut [bool])>,
    step: &AdamWStep,
) {
    Kernel::AdamW.count();
    let factors = Factors::new(step);
    let [parameter, first, second] = state.map(|numbers| numbers.par_chunks_mut(PART));
    let parts = parameter
        .zip(first.zip(second))
        .zip(gradient.par_chunks(PART));
    let Some((is_written, is_idle)) = known else {
        return parts.for_each(|((parameter, (first, second)), gradient)| {
            let is_idle = &mut [false; PART / SPAN];
            factors.update([parameter, first, second], Some(gradient), is_idle);
        });
    };
    let known = is_written
        .par_iter()
        .zip(is_idle.par_chunks_mut(PART / SPAN));
    parts.zip(known).for_each(
        |(((parameter, (first, second)), gradient), (&is_written, is_idle))| {
            let gradient = is_written.then_some(gradient);
            factors.update([parameter, first, second], gradient, is_idle);
        },
    );
}

#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    betas: [f32; 2],
    news: [f32; 2],
    correction2: f32,
    epsilon: f32,
    rate: f32,
    decay: f32,
}

impl Factors {
    fn new(step: &AdamWStep) -> Self {
        let count = step.count as f64;
        let correction1 = 1.0 - step.beta1.powf(count);
        Self {
            gradient: step.gradient_scale as f32,
            betas: [step.beta1 as f32, step.beta2 as f32],
            news: [(1.0 - step.beta1) as f32, (1.0 - step.beta2) as f32],
            correction2: (1.0 - step.beta2.powf(count)).sqrt() as f32,
            epsilon: step.epsilon as f32,
            rate: (step.learning_rate / correction1) as f32,
            decay: (1.0 - step.learning_rate * step.weight_decay) as f32,
        }
    }

    /// Moves a part, of which a gradient may have been written.
    fn update(
        self,
        [parameter, first, second]: [&mut [f32]; 3],
        gradient: Option<&[f32]>,
        is_idle: &mut [bool],
    ) {
        vectorized(
            #[inline(always)]
            || {
                let moments = first.chunks_mut(SPAN).zip(second.chunks_mut(SPAN));
                let spans = parameter.chunks_mut(SPAN).zip(moments).zip(is_idle);
                for (span, ((parameter, (first, second)), is_idle)) in spans.enumerate() {
                    let size = parameter.len();
                    let gradient =
                        gradient.map_or(&ZEROS[..size], |all| &all[span * SPAN..][..size]);
                    *is_idle = is_zero(gradient) && (*is_idle || is_zero(first) && is_zero(second));
                    if *is_idle {
                        self.decay(parameter);
                    } else {
                        self.apply([parameter, first, second], gradient);
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn apply(self, [parameter, first, second]: [&mut [f32]; 3], gradient: &[f32]) {
        let moments = first.iter_mut().zip(second);
        let numbers = parameter.iter_mut().zip(moments).zip(gradient);
        for ((parameter, (first, second)), gradient) in numbers {
            let gradient = gradient * self.gradient;
            *second = *second * self.betas[1] + gradient * gradient * self.news[1];
            *first = *first * self.betas[0] + gradient * self.news[0];
            let denominator = second.sqrt() / self.correction2 + self.epsilon;
            *parameter = *parameter * self.decay - *first / denominator * self.rate;
        }
    }

    /// What [`Self::apply`] comes to where all else is zero.
    #[inline(always)]
    fn decay(self, parameter: &mut [f32]) {
        if self.decay < 1.0 {
            for parameter in parameter {
                *parameter *= self.decay;
            }
        }
    }
}

/// Whether all numbers are positive zeros; of others, mostly the first one tells.
#[inline(always)]
fn is_zero(numbers: &[f32]) -> bool {
    if numbers[0].to_bits() != 0 {
        return false;
    }
    // Not a fold, which would be a call, compiled for the least of processors.
    let mut bits = 0;
    for number in numbers {
        bits |= number.to_bits();
    }
    bits == 0
}

/// `Σ x²`, in parts of fixed bounds, without those that are known not to be written.
pub(super) fn sum_of_squares(x: &[f32], is_written: Option<&[bool]>) -> f64 {
    /// Numbers that are summed in f32.
    const TERMS: usize = 1 << 10;
    Kernel::SumOfSquares.count();
    let parts = x.par_chunks(PART).enumerate().map(|(part, x)| {
        if is_written.is_some_and(|is_written| !is_written[part]) {
            return 0.0;
        }
        vectorized(
            #[inline(always)]
            || {
                // Not a fold; see `is_zero`.
                let mut sum = 0.0;
                for terms in x.chunks(TERMS) {
                    sum += f64::from(math::sum_of_squares(terms, 0.0));
                }
                sum
            },
        )
    });
    let parts: Vec<f64> = parts.collect();
    parts.into_iter().sum()
}
