//! Layer and root mean square normalization.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{Numbers, own, rows_of_task, sum_vectors, tensor, vectorized, zeros};
use super::{Fused, Kernel, math};

/// See [`super::Kernels::fused_normalize_layer`].
pub(super) fn layer(
    x: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    epsilon: f64,
) -> Fused<Flex, 3> {
    Kernel::NormalizeLayer.count();
    let x = Numbers::new(x);
    let (scale, shift) = (Numbers::new(scale), Numbers::new(shift));
    let [rows, width] = x.dims();
    let mut output = zeros(rows * width);
    // Of each row, its mean and the factor that brings its deviation to one.
    let mut moments = vec![[0.0; 2]; rows];
    let task = rows_of_task(width);
    output
        .par_chunks_mut(task * width)
        .zip(moments.par_chunks_mut(task))
        .zip(x.get().par_chunks(task * width))
        .for_each(|((output, moments), x)| {
            let (scale, shift) = (scale.get(), shift.get());
            vectorized(
                #[inline(always)]
                || {
                    let rows = output.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((output, x), moments) in rows.zip(moments) {
                        *moments = layer_row(output, x, [scale, shift], epsilon as f32);
                    }
                },
            );
        });
    Fused::new(tensor(output, [rows, width]), move |gradient, needed| {
        Kernel::NormalizeLayerBackward.count();
        let mut gradient = own(gradient);
        let numbers = gradient.storage_mut();
        let sums = backward(numbers, x.get(), scale.get(), &moments, true);
        let (to_scale, to_shift) = sums.split_at(width);
        let vector =
            |sum: &[f32], is_needed: bool| is_needed.then(|| tensor(sum.to_vec(), [width]));
        [
            needed[0].then_some(gradient),
            vector(to_scale, needed[1]),
            vector(to_shift, needed[2]),
        ]
    })
}

/// See [`super::Kernels::fused_normalize_rms`].
pub(super) fn rms(x: FlexTensor, scale: FlexTensor, epsilon: f64) -> Fused<Flex, 2> {
    Kernel::NormalizeRms.count();
    let (x, scale) = (Numbers::new(x), Numbers::new(scale));
    let [rows, width] = x.dims();
    let mut output = zeros(rows * width);
    let mut moments = vec![[0.0; 2]; rows];
    let task = rows_of_task(width);
    output
        .par_chunks_mut(task * width)
        .zip(moments.par_chunks_mut(task))
        .zip(x.get().par_chunks(task * width))
        .for_each(|((output, moments), x)| {
            let scale = scale.get();
            vectorized(
                #[inline(always)]
                || {
                    let rows = output.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((output, x), moments) in rows.zip(moments) {
                        let square = math::sum_of_squares(x, 0.0) / width as f32;
                        let factor = 1.0 / (square + epsilon as f32).sqrt();
                        for ((output, x), scale) in output.iter_mut().zip(x).zip(scale) {
                            *output = x * factor * scale;
                        }
                        *moments = [0.0, factor];
                    }
                },
            );
        });
    Fused::new(tensor(output, [rows, width]), move |gradient, needed| {
        Kernel::NormalizeRmsBackward.count();
        let mut gradient = own(gradient);
        let numbers = gradient.storage_mut();
        let mut sums = backward(numbers, x.get(), scale.get(), &moments, false);
        sums.truncate(width);
        [
            needed[0].then_some(gradient),
            needed[1].then(|| tensor(sums, [width])),
        ]
    })
}

/// Normalizes a row; gives its mean and factor.
#[inline(always)]
fn layer_row(output: &mut [f32], x: &[f32], affine: [&[f32]; 2], epsilon: f32) -> [f32; 2] {
    let width = x.len() as f32;
    let mean = math::sum(x) / width;
    let variance = math::sum_of_squares(x, mean) / width;
    let factor = 1.0 / (variance + epsilon).sqrt();
    let affine = affine[0].iter().zip(affine[1]);
    for ((output, x), (scale, shift)) in output.iter_mut().zip(x).zip(affine) {
        *output = ((x - mean) * factor).mul_add(*scale, *shift);
    }
    [mean, factor]
}

/// Replaces the gradient of the output by that of the input; gives those of scale and shift, one behind
/// the other.
fn backward(
    gradient: &mut [f32],
    x: &[f32],
    scale: &[f32],
    moments: &[[f32; 2]],
    is_centered: bool,
) -> Vec<f32> {
    let width = scale.len();
    let task = rows_of_task(width);
    let mut sums = vec![0.0; moments.len().div_ceil(task) * 2 * width];
    gradient
        .par_chunks_mut(task * width)
        .zip(sums.par_chunks_mut(2 * width))
        .zip(x.par_chunks(task * width))
        .zip(moments.par_chunks(task))
        .for_each(|(((gradient, sums), x), moments)| {
            let (to_scale, to_shift) = sums.split_at_mut(width);
            vectorized(
                #[inline(always)]
                || {
                    let rows = gradient.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((gradient, x), moments) in rows.zip(moments) {
                        let sums = [&mut *to_scale, &mut *to_shift];
                        backward_row(gradient, x, scale, (*moments, is_centered), sums);
                    }
                },
            );
        });
    sum_vectors(&sums, 2 * width)
}

#[inline(always)]
fn backward_row(
    gradient: &mut [f32],
    x: &[f32],
    scale: &[f32],
    ([mean, factor], is_centered): ([f32; 2], bool),
    [to_scale, to_shift]: [&mut [f32]; 2],
) {
    let width = x.len() as f32;
    let sums = to_scale.iter_mut().zip(to_shift);
    let inputs = gradient.iter_mut().zip(x).zip(scale);
    for (((gradient, x), scale), (to_scale, to_shift)) in inputs.zip(sums) {
        *to_scale += *gradient * ((x - mean) * factor);
        *to_shift += *gradient;
        *gradient *= scale;
    }
    let along = math::sum_along(gradient, x, mean) * factor / width;
    let level = if is_centered {
        math::sum(gradient) / width
    } else {
        0.0
    };
    for (gradient, x) in gradient.iter_mut().zip(x) {
        let normalized = (x - mean) * factor;
        *gradient = factor * (-along).mul_add(normalized, *gradient - level);
    }
}
