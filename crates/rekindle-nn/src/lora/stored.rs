//! Adapters out of a model and into it, in the names and the layout of peft.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::targets::is_in_module;
use crate::init::replace;
use crate::weights::{
    ADAPTER_LAYER, export_some, is_transposed, mismatch, nearest, tensor_name, transpose,
};
use crate::{
    CheckpointNames, ExportedTensor, NamedMapper, ParameterPath, TensorSource, WeightsError, list,
    map_named,
};

/// The parameters of a model's adapters, and of the modules that are trained in full beside them.
pub fn export_adapter<B: Backend, M: Module<B>>(
    model: &M,
    names: &dyn CheckpointNames,
    saved: &[String],
) -> Vec<ExportedTensor> {
    export_some(model, names, &|path| is_stored(path, names, saved))
}

/// Fills what [`export_adapter`] gives; no tensor may be missing, and none may be left.
pub fn load_adapter<B: Backend, M: Module<B>>(
    model: M,
    source: &TensorSource,
    names: &dyn CheckpointNames,
    saved: &[String],
) -> Result<M, WeightsError> {
    let mut available: BTreeMap<String, &String> = source
        .shapes
        .keys()
        .map(|name| (names.canonical(name), name))
        .collect();
    let (mut missing, mut mismatched, mut tensors) = (Vec::new(), Vec::new(), HashMap::new());
    let parameters = list::<B, M>(&model).into_iter();
    for parameter in parameters.filter(|found| is_stored(&found.path, names, saved)) {
        let name = tensor_name(names, &parameter.path);
        match available.remove(&name) {
            Some(found) => {
                let (path, shape) = (&parameter.path, &parameter.shape);
                mismatched.extend(mismatch(path, shape, found, source, names));
                tensors.insert(parameter.path.name, found);
            }
            None => missing.push(name),
        }
    }
    let unused: Vec<String> = available.into_values().cloned().collect();
    if !(missing.is_empty() && mismatched.is_empty() && unused.is_empty()) {
        let with_nearest = |name: String| {
            let nearest = nearest(&name, &unused);
            (name, nearest)
        };
        return Err(WeightsError::Misfit {
            missing: missing.into_iter().map(with_nearest).collect(),
            mismatched,
            unused,
        });
    }
    let mut fill = Fill {
        tensors,
        source,
        names,
        failure: None,
    };
    let model = map_named::<B, M>(model, &mut fill);
    match fill.failure {
        None => Ok(model),
        Some(error) => Err(error),
    }
}

/// Whether a parameter is part of an adapter's file.
fn is_stored(path: &ParameterPath, names: &dyn CheckpointNames, saved: &[String]) -> bool {
    path.layer == ADAPTER_LAYER || {
        let name = names.tensor_name(path);
        saved.iter().any(|end| is_in_module(&name, end))
    }
}

struct Fill<'a> {
    /// Tensor of each parameter that is read, by the parameter's name.
    tensors: HashMap<String, &'a String>,
    source: &'a TensorSource<'a>,
    names: &'a dyn CheckpointNames,
    failure: Option<WeightsError>,
}

impl<B: Backend> NamedMapper<B> for Fill<'_> {
    fn map<const D: usize>(
        &mut self,
        path: &ParameterPath,
        parameter: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let Some(name) = self.tensors.get(&path.name) else {
            return parameter;
        };
        let shape = parameter.lazy_shape();
        match (self.source.read)(name) {
            Ok(values) => {
                let values = if is_transposed(self.names, path) {
                    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
                    transpose(&values, &reversed)
                } else {
                    values
                };
                replace(parameter, TensorData::new(values, shape))
            }
            Err(source) => {
                let name = (*name).clone();
                self.failure
                    .get_or_insert(WeightsError::Read { name, source });
                parameter
            }
        }
    }
}
