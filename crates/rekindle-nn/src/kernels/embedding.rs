//! Rows of a table.

use burn::tensor::{DType, ops::FloatTensorOps};
use burn_flex::{Flex, FlexTensor};

use super::numbers::{Numbers, dims};
use super::{Fused, Kernel, table};

/// See [`super::Kernels::fused_look_up`].
pub(super) fn look_up(table: FlexTensor, ids: FlexTensor) -> Fused<Flex, 1> {
    Kernel::LookUp.count();
    let shape: [usize; 2] = dims(&table);
    let rows = indices(&ids);
    let output = Flex::float_select(table, 0, ids);
    Fused::new(output, move |gradient, _| {
        Kernel::LookUpBackward.count();
        let gradient = Numbers::new(gradient);
        let sums = table::sum_by_row(shape, &rows, gradient.get());
        [Some(sums)]
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
