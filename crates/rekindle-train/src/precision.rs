//! The type of a model's numbers.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, backend::Backend};
use rekindle_nn::{NamedMapper, ParameterPath, map_named};

use crate::recipe::Precision;

impl Precision {
    /// The type of tensors.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Whether a device stores and computes numbers of this type.
    pub fn is_supported<B: Backend>(self, device: &B::Device) -> bool {
        B::supports_dtype(device, self.dtype())
    }

    /// A module with its weights in this type; which ones are trained does not change.
    #[must_use]
    pub fn cast<B: Backend, M: Module<B>>(self, module: M) -> M {
        struct Cast(DType);
        impl<B: Backend> NamedMapper<B> for Cast {
            fn map<const D: usize>(
                &mut self,
                _path: &ParameterPath,
                parameter: Param<Tensor<B, D>>,
            ) -> Param<Tensor<B, D>> {
                parameter.map(|tensor| {
                    let is_trained = tensor.is_require_grad();
                    let untracked = tensor.set_require_grad(false);
                    untracked.cast(self.0).set_require_grad(is_trained)
                })
            }
        }
        if self == Self::F32 {
            return module;
        }
        map_named(module, &mut Cast(self.dtype()))
    }
}
