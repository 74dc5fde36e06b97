//! Linear layers, with a bias and without.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::gemm::{self, View, straight};
use super::numbers::{Numbers, rows_of_task, sum_vectors, tensor, vectorized};
use super::{Fused, Kernel};

/// See [`super::Kernels::fused_multiply`].
pub(super) fn project(factors: [FlexTensor; 2], needed: [bool; 2]) -> Fused<Flex, 2> {
    Kernel::Multiply.count();
    let (output, kept) = product(factors, needed);
    Fused::new(output, move |gradient, _| {
        Kernel::MultiplyBackward.count();
        kept.gradients(gradient)
    })
}

/// See [`super::Kernels::fused_affine`].
pub(super) fn affine([x, weight, bias]: [FlexTensor; 3], needed: [bool; 3]) -> Fused<Flex, 3> {
    Kernel::Affine.count();
    let (mut output, kept) = product([x, weight], [needed[0], needed[1]]);
    add_to_all(output.storage_mut(), bias);
    Fused::new(output, move |gradient: FlexTensor, _| {
        Kernel::AffineBackward.count();
        let to_bias = needed[2].then(|| sum_rows(gradient.clone()));
        let [to_x, to_weight] = kept.gradients(gradient);
        [to_x, to_weight, to_bias]
    })
}

/// Adds a bias to all rows, in parallel.
fn add_to_all(output: &mut [f32], bias: FlexTensor) {
    let bias = Numbers::new(bias);
    let [width] = bias.dims();
    let chunks = output.par_chunks_mut(rows_of_task(width) * width);
    chunks.for_each(|output| add_to_rows(output, bias.get()));
}

/// Adds a bias to rows.
pub(super) fn add_to_rows(output: &mut [f32], bias: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in output.chunks_exact_mut(bias.len()) {
                for (output, bias) in row.iter_mut().zip(bias) {
                    *output += bias;
                }
            }
        },
    );
}

/// Of the factors of a product, those that a gradient of the other is made of.
struct Kept {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
    /// Whether the columns of the weight lie in memory one behind the other, as of a table of embeddings
    /// that tokens are told apart by.
    is_turned: bool,
}

/// A product, and what its gradients will be made of.
fn product(factors: [FlexTensor; 2], needed: [bool; 2]) -> (FlexTensor, Kept) {
    let factors = factors.map(straight);
    let [x, weight] = factors.each_ref().map(View::new);
    let output = gemm::product(x, weight);
    let is_turned = weight.is_turned();
    let [x, weight] = factors;
    let kept = Kept {
        x: needed[1].then_some(x),
        weight: needed[0].then_some(weight),
        is_turned,
    };
    (output, kept)
}

impl Kept {
    /// The gradients of both factors.
    fn gradients(&self, gradient: FlexTensor) -> [Option<FlexTensor>; 2] {
        let gradient = straight(gradient);
        let up = View::new(&gradient);
        let to_x = self
            .weight
            .as_ref()
            .map(|weight| gemm::product(up, View::new(weight).transposed()));
        let to_weight = self.x.as_ref().map(|x| self.to_weight(View::new(x), up));
        [to_x, to_weight]
    }

    /// The gradient of the weight, which lies in memory as the weight does.
    fn to_weight(&self, x: View<'_>, up: View<'_>) -> FlexTensor {
        if self.is_turned {
            gemm::product(up.transposed(), x).transpose(0, 1)
        } else {
            gemm::product(x.transposed(), up)
        }
    }
}

/// The sum of all rows: the gradient of a bias.
pub(super) fn sum_rows(x: FlexTensor) -> FlexTensor {
    let x = Numbers::new(x);
    let [_, width] = x.dims();
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
    tensor(sum_vectors(&sums, width), [width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_gradient_is_made_of_is_kept() {
        let matrix = |shape: [usize; 2]| tensor(vec![1.0; shape[0] * shape[1]], shape);
        let kept = |needed| product([matrix([2, 3]), matrix([3, 4])], needed).1;
        let frozen = kept([true, false]);
        assert!(frozen.x.is_none() && frozen.weight.is_some());
        let lowest = kept([false, true]);
        assert!(lowest.x.is_some() && lowest.weight.is_none());
        let [to_x, to_weight] = frozen.gradients(matrix([2, 4]));
        assert_eq!(Numbers::new(to_x.unwrap()).get(), [4.0; 6]);
        assert!(to_weight.is_none());
    }

    #[test]
    fn the_gradient_of_a_weight_lies_as_the_weight_does() {
        let x = tensor((0..6).map(|i| i as f32).collect(), [2, 3]);
        let up = tensor((0..8).map(|i| i as f32).collect(), [2, 4]);
        let [straight, turned] = [
            tensor(vec![1.0; 12], [3, 4]),
            tensor(vec![1.0; 12], [4, 3]).transpose(0, 1),
        ]
        .map(|weight| {
            let kept = product([x.clone(), weight], [false, true]).1;
            kept.gradients(up.clone())[1].clone().unwrap()
        });
        assert!(straight.is_contiguous() && turned.transpose(0, 1).is_contiguous());
        let [straight, turned] = [straight, turned].map(Numbers::new);
        assert_eq!(straight.get(), turned.get());
    }
}
