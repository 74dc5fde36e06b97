//! Rotary position embedding.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{Numbers, dims, own, rows_of_task, vectorized};
use super::{Fused, Kernel};

/// See [`super::Kernels::fused_rotate`].
pub(super) fn rotate(x: FlexTensor, tables: [FlexTensor; 2]) -> Fused<Flex, 1> {
    Kernel::Rotate.count();
    let tables = tables.map(Numbers::new);
    let output = turn(x, &tables, 1.0);
    Fused::new(output, move |gradient, _| {
        Kernel::RotateBackward.count();
        [Some(turn(gradient, &tables, -1.0))]
    })
}

/// Turns each head by the angles of its slot, forth or back.
fn turn(x: FlexTensor, [cos, sin]: &[Numbers; 2], direction: f32) -> FlexTensor {
    let [_, width]: [usize; 2] = dims(&x);
    let [_, half] = cos.dims();
    let mut x = own(x);
    let task = rows_of_task(width);
    x.storage_mut::<f32>()
        .par_chunks_mut(task * width)
        .zip(cos.get().par_chunks(task * half))
        .zip(sin.get().par_chunks(task * half))
        .for_each(|((x, cos), sin)| {
            vectorized(
                #[inline(always)]
                || {
                    let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
                    for (slot, tables) in x.chunks_exact_mut(width).zip(tables) {
                        for head in slot.chunks_exact_mut(2 * half) {
                            turn_head(head, tables, direction);
                        }
                    }
                },
            );
        });
    x
}

#[inline(always)]
fn turn_head(head: &mut [f32], (cos, sin): (&[f32], &[f32]), direction: f32) {
    let (first, second) = head.split_at_mut(cos.len());
    let points = first.iter_mut().zip(second);
    for ((first, second), (cos, sin)) in points.zip(cos.iter().zip(sin)) {
        let sin = sin * direction;
        let (x, y) = (*first, *second);
        *first = x * cos - y * sin;
        *second = y * cos + x * sin;
    }
}
