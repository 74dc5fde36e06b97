//! Dropout whose masks are drawn where they are used, and kept nowhere.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{own, vectorized};
use super::{Fused, Kernel};
use crate::noise::Factors;

/// Numbers that one task works on; even, since a draw serves two.
pub(super) const TASK: usize = 1 << 13;

/// Factors that are drawn at a time.
const BATCH: usize = 256;

/// See [`super::Kernels::fused_drop_out`].
pub(super) fn drop_out(x: FlexTensor, masks: Factors) -> Fused<Flex, 1> {
    Kernel::DropOut.count();
    Fused::new(apply(x, masks), move |gradient, _| {
        Kernel::DropOutBackward.count();
        [Some(apply(gradient, masks))]
    })
}

pub(super) fn apply(x: FlexTensor, masks: Factors) -> FlexTensor {
    let mut x = own(x);
    let chunks = x.storage_mut::<f32>().par_chunks_mut(TASK).enumerate();
    chunks.for_each(|(index, numbers)| multiply(numbers, masks, index * TASK));
    x
}

/// Multiplies numbers by the factors from an even index on.
pub(super) fn multiply(numbers: &mut [f32], masks: Factors, first: usize) {
    vectorized(
        #[inline(always)]
        || multiply_inline(numbers, masks, first),
    );
}

/// [`multiply`] within a body that is vectorized already.
#[inline(always)]
pub(super) fn multiply_inline(numbers: &mut [f32], masks: Factors, first: usize) {
    let mut factors = [0.0; BATCH];
    for (index, numbers) in numbers.chunks_mut(BATCH).enumerate() {
        masks.fill_even(first + index * BATCH, &mut factors);
        for (number, factor) in numbers.iter_mut().zip(&factors) {
            *number *= factor;
        }
    }
}
