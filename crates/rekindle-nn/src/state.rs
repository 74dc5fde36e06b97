//! A module's trainable parameters out and in again, exactly, while it is trained.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::cast;
use crate::init::replace;
use crate::parameters::{NamedMapper, NamedVisitor, ParameterPath, map_named, visit_named};
use crate::weights::{ExportedTensor, TensorSource, WeightsError};

/// The trainable parameters under their own names and in their own layout.
pub fn export_trainable<B: Backend, M: Module<B>>(module: &M) -> Vec<ExportedTensor> {
    struct Export(Vec<ExportedTensor>);
    impl<B: Backend> NamedVisitor<B> for Export {
        fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>) {
            if parameter.is_require_grad() {
                self.0
                    .push(ExportedTensor::new(path.name.clone(), parameter.val()));
            }
        }
    }
    let mut export = Export(Vec::new());
    visit_named(module, &mut export);
    export.0
}

/// Puts back what [`export_trainable`] gave; frozen parameters stay as they are.
pub fn restore_trainable<B: Backend, M: Module<B>>(
    module: M,
    source: &TensorSource,
) -> Result<M, WeightsError> {
    struct Restore<'a> {
        source: &'a TensorSource<'a>,
        failure: Option<WeightsError>,
    }
    impl<B: Backend> NamedMapper<B> for Restore<'_> {
        fn map<const D: usize>(
            &mut self,
            path: &ParameterPath,
            parameter: Param<Tensor<B, D>>,
        ) -> Param<Tensor<B, D>> {
            if !parameter.is_require_grad() {
                return parameter;
            }
            let shape = parameter.lazy_shape();
            match self.source.read(&path.name, &shape) {
                Ok(values) => {
                    let dtype = parameter.val().dtype();
                    let restored = replace(parameter, TensorData::new(values, shape));
                    restored.map(|tensor| {
                        let untracked = tensor.set_require_grad(false);
                        cast(untracked, dtype).require_grad()
                    })
                }
                Err(error) => {
                    self.failure.get_or_insert(error);
                    parameter
                }
            }
        }
    }
    let mut restore = Restore {
        source,
        failure: None,
    };
    let module = map_named(module, &mut restore);
    match restore.failure {
        None => Ok(module),
        Some(error) => Err(error),
    }
}
