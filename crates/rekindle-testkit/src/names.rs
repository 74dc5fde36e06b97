//! Tensors named as the parameters that they hold.

use rekindle_data::TaskKind;
use rekindle_nn::{CheckpointNames, ParameterPath};

/// Names of a checkpoint that calls each tensor as the model calls its parameter.
#[derive(Clone, Copy, Debug)]
pub struct OwnNames(pub TaskKind);

impl CheckpointNames for OwnNames {
    fn tensor_name(&self, path: &ParameterPath) -> String {
        path.name.clone()
    }

    fn canonical(&self, name: &str) -> String {
        name.to_owned()
    }

    fn is_head(&self, _path: &ParameterPath) -> bool {
        false
    }

    fn output_module(&self) -> &'static str {
        match self.0 {
            TaskKind::Generate => "lm_head",
            TaskKind::Mask => "decoder",
            _ => "classifier",
        }
    }
}
