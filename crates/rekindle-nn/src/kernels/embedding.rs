//! Rows of a table.

use burn::tensor::{DType, ops::FloatTensorOps};
use burn_flex::{Flex, FlexTensor};

use super::numbers::{Numbers, dims, tensor, zeros};
use super::{Fused, Kernel};

/// See [`super::Kernels::fused_look_up`].
pub(super) fn look_up(table: FlexTensor, ids: FlexTensor) -> Fused<Flex, 1> {
    Kernel::LookUp.count();
    let shape: [usize; 2] = dims(&table);
    let rows = indices(&ids);
    let output = Flex::float_select(table, 0, ids);
    Fused::new(output, move |gradient, _| {
        Kernel::LookUpBackward.count();
        let width = shape[1];
        let gradient = Numbers::new(gradient);
        let mut sums = zeros(shape[0] * width);
        for (&row, gradient) in rows.iter().zip(gradient.get().chunks_exact(width)) {
            let sums = &mut sums[row * width..(row + 1) * width];
            for (sum, number) in sums.iter_mut().zip(gradient) {
                *sum += number;
            }
        }
        [Some(tensor(sums, shape))]
    })
}

/// The numbers of an integer tensor.
pub(super) fn indices(tensor: &FlexTensor) -> Vec<usize> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I32 => tensor
            .storage::<i32>()
            .iter()
            .map(|&i| i as usize)
            .collect(),
        DType::I64 => tensor
            .storage::<i64>()
            .iter()
            .map(|&i| i as usize)
            .collect(),
        other => unreachable!("Flex makes no indices in {other:?}"),
    }
}
