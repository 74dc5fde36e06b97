//! Sums of what goes around a layer and what comes out of it.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::dropout::{self, TASK};
use super::numbers::{Numbers, own, vectorized};
use super::{Fused, Kernel};
use crate::noise::Factors;

/// See [`super::Kernels::fused_add`].
pub(super) fn add(x: FlexTensor, branch: FlexTensor, masks: Option<Factors>) -> Fused<Flex, 2> {
    Kernel::Add.count();
    let x = Numbers::new(x);
    let mut sum = own(branch);
    sum.storage_mut::<f32>()
        .par_chunks_mut(TASK)
        .zip(x.get().par_chunks(TASK))
        .enumerate()
        .for_each(|(index, (sum, x))| {
            vectorized(
                #[inline(always)]
                || {
                    if let Some(masks) = masks {
                        dropout::multiply_inline(sum, masks, index * TASK);
                    }
                    for (sum, x) in sum.iter_mut().zip(x) {
                        *sum += x;
                    }
                },
            );
        });
    Fused::new(sum, move |gradient: FlexTensor, needed| {
        Kernel::AddBackward.count();
        let to_x = needed[0].then(|| gradient.clone());
        let to_branch = needed[1].then(|| match masks {
            Some(masks) => dropout::apply(gradient, masks),
            None => gradient,
        });
        [to_x, to_branch]
    })
}
