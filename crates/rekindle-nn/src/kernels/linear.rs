//! Linear layers, with a bias and without.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::gemm::{View, multiply, straight};
use super::numbers::{Numbers, dims, rows_of_task, sum_vectors, tensor, vectorized};
use super::{Fused, Kernel};

/// See [`super::Kernels::fused_multiply`].
pub(super) fn project(x: FlexTensor, weight: FlexTensor) -> Fused<Flex, 2> {
    Kernel::Multiply.count();
    let factors = [x, weight].map(straight);
    let output = product(&factors);
    Fused::new(output, move |gradient, needed| {
        Kernel::MultiplyBackward.count();
        gradients(&factors, gradient, needed)
    })
}

/// See [`super::Kernels::fused_affine`].
pub(super) fn affine(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> Fused<Flex, 3> {
    Kernel::Affine.count();
    let bias = Numbers::new(bias);
    let [width] = bias.dims();
    let factors = [x, weight].map(straight);
    let mut output = product(&factors);
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
        let to_bias = needed[2].then(|| tensor(sum_rows(gradient.clone(), width), [width]));
        let [to_x, to_weight] = gradients(&factors, gradient, [needed[0], needed[1]]);
        [to_x, to_weight, to_bias]
    })
}

fn product(factors: &[FlexTensor; 2]) -> FlexTensor {
    let [x, weight] = factors.each_ref().map(View::new);
    let [rows, _] = dims(&factors[0]);
    let [_, width] = dims(&factors[1]);
    tensor(multiply(x, weight), [rows, width])
}

/// The gradients of both factors of a product.
fn gradients(
    factors: &[FlexTensor; 2],
    gradient: FlexTensor,
    needed: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let gradient = straight(gradient);
    let up = View::new(&gradient);
    let [x, weight] = factors.each_ref().map(View::new);
    let shapes: [[usize; 2]; 2] = factors.each_ref().map(dims);
    [
        needed[0].then(|| tensor(multiply(up, weight.transposed()), shapes[0])),
        needed[1].then(|| tensor(multiply(x.transposed(), up), shapes[1])),
    ]
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
