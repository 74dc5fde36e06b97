//! Cross-entropy of logits.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::embedding::indices;
use super::numbers::{Numbers, rows_of_task, tensor, vectorized, zeros};
use super::{Fused, Kernel, math};

/// See [`super::Kernels::fused_cross_entropy`].
pub(super) fn cross_entropy(logits: FlexTensor, targets: &FlexTensor) -> Fused<Flex, 1> {
    Kernel::CrossEntropy.count();
    let logits = Numbers::new(logits);
    let targets = indices(targets);
    let [rows, width] = logits.dims();
    let task = rows_of_task(width);
    let mut sums = vec![[0.0; 2]; rows];
    let mut outputs = vec![0.0; 2 * rows];
    let chunks = sums
        .par_chunks_mut(task)
        .zip(outputs.par_chunks_mut(2 * task))
        .zip(logits.get().par_chunks(task * width))
        .zip(targets.par_chunks(task));
    chunks.for_each(|(((sums, outputs), logits), targets)| {
        let mut row = vec![0.0; width];
        let (outputs, _) = outputs.as_chunks_mut::<2>();
        vectorized(
            #[inline(always)]
            || {
                let rows = logits.chunks_exact(width).zip(targets);
                for ((logits, &target), (sums, output)) in rows.zip(sums.iter_mut().zip(outputs)) {
                    let largest = math::maximum(logits);
                    row.copy_from_slice(logits);
                    let sum = math::exponentials(&mut row, largest);
                    *sums = [largest, sum];
                    *output = row_outputs(logits, target, *sums);
                }
            },
        );
    });
    let output = tensor(outputs, [rows, 2]);
    let kept = Kept {
        logits,
        targets,
        sums,
    };
    Fused::new(output, move |gradient, _| {
        Kernel::CrossEntropyBackward.count();
        [Some(kept.gradient(Numbers::new(gradient).get()))]
    })
}

/// What a gradient is made of.
struct Kept {
    logits: Numbers,
    targets: Vec<usize>,
    /// Of each row, its largest logit and the sum of the exponentials of what all are below it.
    sums: Vec<[f32; 2]>,
}

impl Kept {
    /// The gradient of the logits, of those of all rows' outputs.
    fn gradient(&self, factors: &[f32]) -> FlexTensor {
        let [rows, width] = self.logits.dims();
        let task = rows_of_task(width);
        let mut gradients = zeros(rows * width);
        let chunks = gradients
            .par_chunks_mut(task * width)
            .zip(self.logits.get().par_chunks(task * width))
            .zip(self.sums.par_chunks(task))
            .zip(
                self.targets
                    .par_chunks(task)
                    .zip(factors.par_chunks(2 * task)),
            );
        chunks.for_each(|(((gradients, logits), sums), (targets, factors))| {
            let (factors, _) = factors.as_chunks::<2>();
            vectorized(
                #[inline(always)]
                || {
                    let rows = gradients
                        .chunks_exact_mut(width)
                        .zip(logits.chunks_exact(width));
                    let ends = targets.iter().zip(factors);
                    for (((gradients, logits), [largest, sum]), (&target, [factor, _])) in
                        rows.zip(sums).zip(ends)
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
        tensor(gradients, [rows, width])
    }
}

/// The loss of a row, and 1 where its target is the first of the likeliest classes.
fn row_outputs(logits: &[f32], target: usize, [largest, sum]: [f32; 2]) -> [f32; 2] {
    let logit = logits[target];
    let loss = f64::from(largest) + f64::from(sum).ln() - f64::from(logit);
    let is_right = logit == largest && logits[..target].iter().all(|&other| other < largest);
    [loss as f32, f32::from(u8::from(is_right))]
}
