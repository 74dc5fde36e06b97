//! Tensors of `Flex` as slices of numbers, and loops over them.

use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use pulp::Arch;
use rayon::prelude::*;

/// Numbers that one task works on.
const TASK: usize = 1 << 14;

/// A tensor whose numbers lie in order.
#[derive(Clone, Debug)]
pub(super) struct Numbers(FlexTensor);

impl Numbers {
    pub(super) fn new(tensor: FlexTensor) -> Self {
        if tensor.is_contiguous() {
            Self(tensor)
        } else {
            Self(tensor.to_contiguous())
        }
    }

    pub(super) fn get(&self) -> &[f32] {
        self.0.as_slice().expect("the numbers are f32, in order")
    }

    pub(super) fn tensor(&self) -> &FlexTensor {
        &self.0
    }

    pub(super) fn into_tensor(self) -> FlexTensor {
        self.0
    }

    pub(super) fn dims<const D: usize>(&self) -> [usize; D] {
        dims(&self.0)
    }
}

/// The size of each dimension.
pub(super) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape = tensor.layout().shape();
    std::array::from_fn(|dim| shape[dim])
}

/// A tensor of these numbers.
pub(super) fn tensor(numbers: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let bytes = Bytes::from_elems(numbers);
    FlexTensor::new(bytes, Layout::contiguous(shape.into()), DType::F32)
}

/// A tensor that nobody else holds, its numbers in order: itself where it is that already.
pub(super) fn own(tensor: FlexTensor) -> FlexTensor {
    // The tensor is dropped before anybody writes.
    tensor.to_contiguous()
}

/// Runs a body compiled for the best instruction set of the processor.
#[inline(always)]
pub(super) fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(body)
}

/// Whether the processor multiplies and adds in one instruction; without it kernels do not pay.
pub(super) fn has_fused_multiply_add() -> bool {
    !cfg!(any(target_arch = "x86", target_arch = "x86_64")) || !matches!(Arch::new(), Arch::Scalar)
}

/// Numbers to be written, cleared by all threads.
pub(super) fn zeros(length: usize) -> Vec<f32> {
    let zeros = rayon::iter::repeat_n(0.0, length);
    zeros.with_min_len(TASK).collect()
}

/// `output[i] = function(input[i])`.
pub(super) fn map(input: &[f32], function: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut output = zeros(input.len());
    let chunks = output.par_chunks_mut(TASK).zip(input.par_chunks(TASK));
    chunks.for_each(|(output, input)| {
        vectorized(
            #[inline(always)]
            || {
                for (output, input) in output.iter_mut().zip(input) {
                    *output = function(*input);
                }
            },
        );
    });
    output
}

/// `numbers[i] = function(numbers[i], input[i])`.
pub(super) fn update(
    numbers: &mut [f32],
    input: &[f32],
    function: impl Fn(f32, f32) -> f32 + Sync,
) {
    let chunks = numbers.par_chunks_mut(TASK).zip(input.par_chunks(TASK));
    chunks.for_each(|(numbers, input)| {
        vectorized(
            #[inline(always)]
            || {
                for (number, input) in numbers.iter_mut().zip(input) {
                    *number = function(*number, *input);
                }
            },
        );
    });
}

/// Rows of `width` numbers that one task works on.
pub(super) fn rows_of_task(width: usize) -> usize {
    (TASK / width.max(1)).clamp(1, 256)
}

/// The sum of vectors that come one behind the other, in their order.
pub(super) fn sum_vectors(vectors: &[f32], width: usize) -> Vec<f32> {
    /// Numbers of the sum that one task makes.
    const NUMBERS: usize = 1 << 11;
    let mut sum = vec![0.0; width];
    let tasks = sum.par_chunks_mut(NUMBERS).enumerate();
    tasks.for_each(|(task, sum)| {
        for vector in vectors.chunks_exact(width) {
            for (sum, number) in sum.iter_mut().zip(&vector[task * NUMBERS..]) {
                *sum += number;
            }
        }
    });
    sum
}
