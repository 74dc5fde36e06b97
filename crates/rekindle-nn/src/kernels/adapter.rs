//! Linear layers that carry a low-rank adapter.
//!
//! The layer's products are those of large matrices. The adapter's have a short side, its rank, and take less
//! time than passes over their long factors; they are computed on rows that are in the cache for what else is
//! done with them.
//!
//! Letters: N rows, I inputs, O outputs, R rank.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::dropout;
use super::gemm::{self, View, multiply, straight};
use super::linear::{add_to_rows, sum_rows};
use super::numbers::{Numbers, sum_vectors, tensor, zeros};
use super::product::{Left, Matrix, product};
use super::{Fused, Kernel};
use crate::noise::Factors;
use crate::weights::transpose;

/// Of an adapter, what is not a tensor.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) scale: f32,
    /// Of the elements of its input.
    pub(super) masks: Option<Factors>,
}

/// See [`super::Kernels::fused_adapt`].
pub(super) fn project(
    inputs: [FlexTensor; 4],
    needed: [bool; 4],
    settings: Settings,
) -> Fused<Flex, 4> {
    Kernel::Adapt.count();
    let (output, kept) = adapt(inputs, None, needed, settings);
    Fused::new(output, move |gradient, _| {
        Kernel::AdaptBackward.count();
        kept.gradients(gradient)
    })
}

/// See [`super::Kernels::fused_adapt_affine`].
pub(super) fn affine(
    [x, weight, a, b, bias]: [FlexTensor; 5],
    [to_x, to_weight, to_a, to_b, to_bias]: [bool; 5],
    settings: Settings,
) -> Fused<Flex, 5> {
    Kernel::Adapt.count();
    let needed = [to_x, to_weight, to_a, to_b];
    let (output, kept) = adapt([x, weight, a, b], Some(bias), needed, settings);
    Fused::new(output, move |gradient: FlexTensor, _| {
        Kernel::AdaptBackward.count();
        let to_bias = to_bias.then(|| sum_rows(gradient.clone()));
        let [to_x, to_weight, to_a, to_b] = kept.gradients(gradient);
        [to_x, to_weight, to_a, to_b, to_bias]
    })
}

/// What gradients are made of.
struct Kept {
    /// The layer's input, where its weight is trained.
    x: Option<Numbers>,
    weight: FlexTensor,
    adapter: Adapter,
    /// The adapter's input, `[N, I]`.
    dropped: Numbers,
    /// `s drop_out(x) A`, `[N, R]`.
    narrow: Vec<f32>,
    needed: [bool; 4],
}

/// `x W + s drop_out(x) A B`, and a bias.
fn adapt(
    [x, weight, a, b]: [FlexTensor; 4],
    bias: Option<FlexTensor>,
    needed: [bool; 4],
    settings: Settings,
) -> (FlexTensor, Kept) {
    let (x, weight) = (Numbers::new(x), straight(weight));
    let adapter = Adapter {
        a: Numbers::new(a),
        b: Numbers::new(b),
        settings,
    };
    let (dropped, narrow) = adapter.narrow(&x);
    let mut output = multiply(View::new(x.tensor()), View::new(&weight));
    adapter.widen(&mut output, bias.map(Numbers::new).as_ref(), &narrow);
    let [height, _] = x.dims();
    let shape = [height, View::new(&weight).width()];
    let kept = Kept {
        x: needed[1].then_some(x),
        weight,
        adapter,
        dropped,
        narrow,
        needed,
    };
    (tensor(output, shape), kept)
}

/// The factors, and how they are applied.
struct Adapter {
    /// `[I, R]`.
    a: Numbers,
    /// `[R, O]`.
    b: Numbers,
    settings: Settings,
}

impl Adapter {
    /// Inputs, rank and outputs.
    fn sizes(&self) -> [usize; 3] {
        let ([inputs, rank], [_, outputs]) = (self.a.dims(), self.b.dims());
        [inputs, rank, outputs]
    }

    /// `drop_out(x)`, and `s drop_out(x) A`.
    fn narrow(&self, x: &Numbers) -> (Numbers, Vec<f32>) {
        let ([height, inputs], [_, rank, _]) = (x.dims(), self.sizes());
        let rows = rows_of_part(height);
        let mut narrow = vec![0.0; height * rank];
        let parts = narrow.par_chunks_mut(rows * rank);
        let parts = parts.zip(x.get().par_chunks(rows * inputs));
        let a = self.a.get();
        let Some(masks) = self.settings.masks else {
            parts.for_each(|(narrow, x)| self.scaled(narrow, [x, a], inputs));
            return (x.clone(), narrow);
        };
        let mut dropped = zeros(height * inputs);
        let parts = parts.zip(dropped.par_chunks_mut(rows * inputs));
        parts
            .enumerate()
            .for_each(|(index, ((narrow, x), dropped))| {
                dropped.copy_from_slice(x);
                dropout::multiply(dropped, masks, index * rows * inputs);
                self.scaled(narrow, [dropped, a], inputs);
            });
        (Numbers::new(tensor(dropped, [height, inputs])), narrow)
    }

    /// `s left right`, `[N, R]`, of `[N, length]` and `[length, R]`.
    fn scaled(&self, output: &mut [f32], [left, right]: [&[f32]; 2], length: usize) {
        let [_, rank, _] = self.sizes();
        let height = output.len() / rank;
        let to = Matrix::new(&mut *output, rank);
        let (left, right) = (Left::rows(left, length), Matrix::new(right, rank));
        product(to, left, right, [height, rank, length], false);
        for number in output {
            *number *= self.settings.scale;
        }
    }

    /// Adds the bias and `narrow B`.
    fn widen(&self, output: &mut [f32], bias: Option<&Numbers>, narrow: &[f32]) {
        let [_, rank, outputs] = self.sizes();
        let rows = rows_of_part(narrow.len() / rank);
        let parts = output.par_chunks_mut(rows * outputs);
        let parts = parts.zip(narrow.par_chunks(rows * rank));
        parts.for_each(|(output, narrow)| {
            if let Some(bias) = bias {
                add_to_rows(output, bias.get());
            }
            let size = [narrow.len() / rank, outputs, rank];
            let to = Matrix::new(output, outputs);
            let (left, right) = (Left::rows(narrow, rank), Matrix::new(self.b.get(), outputs));
            product(to, left, right, size, true);
        });
    }

    /// Adds `drop_out(narrow Aᵀ)`, by the masks of the way forward.
    fn widen_back(&self, output: &mut [f32], narrow: &[f32]) {
        let [inputs, rank, _] = self.sizes();
        let rows = rows_of_part(narrow.len() / rank);
        let a = transpose(self.a.get(), &[inputs, rank]);
        let parts = output.par_chunks_mut(rows * inputs);
        let parts = parts.zip(narrow.par_chunks(rows * rank)).enumerate();
        parts.for_each(|(index, (output, narrow))| {
            let size = [narrow.len() / rank, inputs, rank];
            let (left, right) = (Left::rows(narrow, rank), Matrix::new(&a[..], inputs));
            let Some(masks) = self.settings.masks else {
                return product(Matrix::new(output, inputs), left, right, size, true);
            };
            let mut part = vec![0.0; output.len()];
            product(Matrix::new(&mut part[..], inputs), left, right, size, false);
            dropout::multiply(&mut part, masks, index * rows * inputs);
            for (output, part) in output.iter_mut().zip(&part) {
                *output += part;
            }
        });
    }
}

impl Kept {
    /// The gradients of the input, the weight, and the adapter's factors.
    fn gradients(&self, gradient: FlexTensor) -> [Option<FlexTensor>; 4] {
        let up = Numbers::new(gradient);
        let view = View::new(up.tensor());
        let [inputs, rank, outputs] = self.adapter.sizes();
        let to_weight = self
            .x
            .as_ref()
            .map(|x| gemm::product(View::new(x.tensor()).transposed(), view));
        let (narrow, mut to_a) = self.to_factors(up.get());
        let to_b = to_a.split_off(inputs * rank);
        let [is_x, _, is_a, is_b] = self.needed;
        let to_x = is_x.then(|| {
            let mut to_x = multiply(view, View::new(&self.weight).transposed());
            self.adapter.widen_back(&mut to_x, &narrow);
            tensor(to_x, [view.height(), inputs])
        });
        let to_a = is_a.then(|| tensor(to_a, [inputs, rank]));
        let to_b = is_b.then(|| tensor(to_b, [rank, outputs]));
        [to_x, to_weight, to_a, to_b]
    }

    /// The gradient of `drop_out(x) A`, and those of both factors, one behind the other.
    fn to_factors(&self, up: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let [inputs, rank, outputs] = self.adapter.sizes();
        let height = self.narrow.len() / rank;
        let rows = rows_of_part(height);
        let b = transpose(self.adapter.b.get(), &[rank, outputs]);
        let mut to_narrow = vec![0.0; height * rank];
        let size = inputs * rank + rank * outputs;
        let mut sums = zeros(height.div_ceil(rows) * size);
        let inputs_of_parts = self.dropped.get().par_chunks(rows * inputs);
        to_narrow
            .par_chunks_mut(rows * rank)
            .zip(sums.par_chunks_mut(size))
            .zip(up.par_chunks(rows * outputs))
            .zip(inputs_of_parts.zip(self.narrow.par_chunks(rows * rank)))
            .for_each(|(((to_narrow, sums), up), (x, narrow))| {
                self.adapter.scaled(to_narrow, [up, &b], outputs);
                let height = to_narrow.len() / rank;
                let (to_a, to_b) = sums.split_at_mut(inputs * rank);
                let (left, right) = (Left::columns(x, inputs), Matrix::new(&*to_narrow, rank));
                let to = Matrix::new(to_a, rank);
                product(to, left, right, [inputs, rank, height], false);
                let (left, right) = (Left::columns(narrow, rank), Matrix::new(up, outputs));
                let to = Matrix::new(to_b, outputs);
                product(to, left, right, [rank, outputs, height], false);
            });
        (to_narrow, sum_vectors(&sums, size))
    }
}

/// Rows of a part: in the cache, and of a number that does not depend on threads.
fn rows_of_part(height: usize) -> usize {
    height.div_ceil(16).clamp(36, 132).next_multiple_of(6)
}
