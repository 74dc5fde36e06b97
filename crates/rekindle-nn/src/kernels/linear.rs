//! Linear layers: the products are `Flex`'s, which takes transposed operands by their strides.

use burn::tensor::ops::FloatTensorOps;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{Numbers, own, rows_of_task, sum_vectors, tensor, vectorized};
use super::{Fused, Kernel};

/// See [`super::Kernels::fused_affine`].
pub(super) fn affine(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> Fused<Flex, 3> {
    Kernel::Affine.count();
    let bias = Numbers::new(bias);
    let [width] = bias.dims();
    let mut output = own(Flex::float_matmul(x.clone(), weight.clone()));
    let task = rows_of_task(width) * width;
    let chunks = output.storage_mut::<f32>().par_chunks_mut(task);
    chunks.for_each(|output| {
        let bias = bias.get();
        vectorized(
            #[inline(always)]
            || {
                for row in output.chunks_exact_mut(width) {
                    for (output, bias) in row.iter_mut().zip(bias) {
                        *output += bias;
                    }
                }
            },
        );
    });
    Fused::new(output, move |gradient: FlexTensor, needed| {
        Kernel::AffineBackward.count();
        let transposed = |x: &FlexTensor| Flex::float_swap_dims(x.clone(), 0, 1);
        [
            needed[0].then(|| Flex::float_matmul(gradient.clone(), transposed(&weight))),
            needed[1].then(|| Flex::float_matmul(transposed(&x), gradient.clone())),
            needed[2].then(|| tensor(sum_rows(gradient.clone(), width), [width])),
        ]
    })
}

/// The sum of all rows.
fn sum_rows(x: FlexTensor, width: usize) -> Vec<f32> {
    let x = Numbers::new(x);
    let task = rows_of_task(width) * width;
    let mut sums = vec![0.0; x.get().len().div_ceil(task) * width];
    let chunks = sums.par_chunks_mut(width).zip(x.get().par_chunks(task));
    chunks.for_each(|(sum, x)| {
        vectorized(
            #[inline(always)]
            || {
                for row in x.chunks_exact(width) {
                    for (sum, number) in sum.iter_mut().zip(row) {
                        *sum += number;
                    }
                }
            },
        );
    });
    sum_vectors(&sums, width)
}
