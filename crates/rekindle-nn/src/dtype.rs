//! Types of numbers.

use burn::tensor::{DType, Tensor, backend::Backend};

/// A tensor in a type; itself where it has it, of which Burn's own `cast` makes a copy.
pub fn cast<B: Backend, const D: usize>(tensor: Tensor<B, D>, dtype: DType) -> Tensor<B, D> {
    if tensor.dtype() == dtype {
        tensor
    } else {
        tensor.cast(dtype)
    }
}
