//! Cross-entropy of logits.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::embedding::indices;
use super::numbers::{Numbers, rows_of_task, tensor, vectorized};
use super::{Fused, Kernel, math};

/// See [`super::Kernels::fused_cross_entropy_sum`].
pub(super) fn cross_entropy_sum(logits: FlexTensor, targets: &FlexTensor) -> Fused<Flex, 1> {
    Kernel::CrossEntropy.count();
    let logits = Numbers::new(logits);
    let targets = indices(targets);
    let [rows, width] = logits.dims();
    let task = rows_of_task(width);
    // Of each row, its largest logit and the sum of the exponentials of what the others are below it.
    let mut sums = vec![[0.0; 2]; rows];
    let chunks = sums
        .par_chunks_mut(task)
        .zip(logits.get().par_chunks(task * width));
    chunks.for_each(|(sums, logits)| {
        let mut row = vec![0.0; width];
        vectorized(
            #[inline(always)]
            || {
                for (sums, logits) in sums.iter_mut().zip(logits.chunks_exact(width)) {
                    let largest = math::maximum(logits);
                    row.copy_from_slice(logits);
                    *sums = [largest, math::exponentials(&mut row, largest)];
                }
            },
        );
    });
    let terms = logits.get().chunks_exact(width).zip(&sums).zip(&targets);
    let loss: f64 = terms
        .map(|((logits, [largest, sum]), &target)| {
            f64::from(*largest) + f64::from(*sum).ln() - f64::from(logits[target])
        })
        .sum();
    let output = tensor(vec![loss as f32], [1]);
    Fused::new(output, move |gradient, _| {
        Kernel::CrossEntropyBackward.count();
        let factor = Numbers::new(gradient).get()[0];
        let mut gradients = vec![0.0; rows * width];
        gradients
            .par_chunks_mut(task * width)
            .zip(logits.get().par_chunks(task * width))
            .zip(sums.par_chunks(task).zip(targets.par_chunks(task)))
            .for_each(|((gradients, logits), (sums, targets))| {
                vectorized(
                    #[inline(always)]
                    || {
                        let rows = gradients
                            .chunks_exact_mut(width)
                            .zip(logits.chunks_exact(width));
                        for ((gradients, logits), ([largest, sum], &target)) in
                            rows.zip(sums.iter().zip(targets))
                        {
                            let scale = factor / sum;
                            for (gradient, logit) in gradients.iter_mut().zip(logits) {
                                *gradient = math::exp(logit - largest) * scale;
                            }
                            gradients[target] -= factor;
                        }
                    },
                );
            });
        [Some(tensor(gradients, [rows, width]))]
    })
}
