//! Low-rank adapters (Hu et al., 2021): put on the linear layers of any model, and folded into them.
//!
//! Layers are chosen by the names that checkpoints give them, by the rules of peft; numbers are checked
//! against it in the models' `tests/model/adapters.rs`.

mod stored;
mod targets;

use std::collections::{BTreeSet, HashSet};

use burn::module::Param;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::init::{replace, uniform_values};
use crate::weights::{ADAPTER_LAYER, layer_of, weight_of};
use crate::{
    CheckpointNames, Dropout, Linear, LoraAdapter, Model, NamedMapper, ParameterPath, list,
    map_named,
};

pub use stored::{export_adapter, load_adapter};
use targets::is_within;
pub use targets::{Targets, group, is_in_module};

/// Sites of the adapters' dropouts begin here; those of models are counted from 0.
const FIRST_SITE: usize = 1 << 24;

/// A change of a model: adapters on the layers chosen, all else frozen but the modules named.
#[derive(Clone, Debug)]
pub struct Lora {
    /// Rank of the adapters.
    pub rank: usize,
    /// Factor on what they add.
    pub scale: f64,
    /// Dropout before them.
    pub dropout: f64,
    /// The layers that get one.
    pub targets: Targets,
    /// Modules that are trained in full: ends of their names.
    pub modules_to_save: Vec<String>,
    /// Seed of their initial values.
    pub seed: u64,
}

/// What a change touched, by checkpoint names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// Layers with an adapter.
    pub modules: Vec<String>,
    /// Modules that are trained in full, as they were asked for.
    pub saved: Vec<String>,
}

/// Why a model cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// A pattern that is none.
    #[error("not a regular expression: `{pattern}`")]
    Pattern {
        /// The text.
        pattern: String,
        /// Where and why.
        source: Box<regex::Error>,
    },
    /// No layer is chosen.
    #[error("no linear layer {} `{targets}`", if *is_pattern { "has a name that is, as a whole," } else { "is called" })]
    NoTarget {
        /// What should choose them, or the part of it that chooses none.
        targets: String,
        /// Whether that is a pattern for whole names.
        is_pattern: bool,
        /// The layers that there are, each once for all blocks.
        available: Vec<String>,
    },
    /// No module has the name.
    #[error("no module to be trained in full is called `{name}`")]
    NoModule {
        /// The name.
        name: String,
        /// The modules that there are, each once for all blocks.
        available: Vec<String>,
    },
    /// A module that is also the output layer, which peft would train apart from it.
    #[error("`{name}` is also the output layer, and peft would train a copy of it")]
    Tied {
        /// The name as it was asked for.
        name: String,
    },
    /// The output layer, of a model that has none apart from its embedding.
    #[error("`{name}` is no layer of its own in this model: its output layer is its embedding")]
    TiedOutput {
        /// The output layer.
        name: &'static str,
    },
    /// There is no adapter to fold.
    #[error("no layer has an adapter: nothing to merge")]
    NothingToMerge,
}

impl LoraError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pattern { .. } => {
                Some("one string is `all-linear` or a pattern; names are a list".to_owned())
            }
            Self::NoTarget {
                targets,
                is_pattern: true,
                available,
            } => Some(format!(
                "one string is a pattern for whole names, a list has names or their ends: `[\"{targets}\"]`; there are: {}",
                available.join(", ")
            )),
            Self::NoTarget { available, .. } | Self::NoModule { available, .. } => {
                Some(format!("there are: {}", available.join(", ")))
            }
            Self::TiedOutput { name } => Some(format!(
                "leave `{name}` out of `targets` and `modules_to_save`, or train all weights: `--method full`"
            )),
            Self::Tied { .. } => {
                Some("leave it out, or train all weights: `--method full`".to_owned())
            }
            Self::NothingToMerge => Some("it is a full model as it is".to_owned()),
        }
    }
}

/// The factor on an adapter's change: `alpha / r`, and `alpha / sqrt(r)` if stabilized (Kalajdzievski, 2023).
pub fn lora_scale(alpha: f64, rank: usize, is_stabilized: bool) -> f64 {
    let rank = rank as f64;
    alpha / if is_stabilized { rank.sqrt() } else { rank }
}

impl Lora {
    /// Puts adapters on a model and freezes what is not trained; a layer that has one keeps its values.
    ///
    /// A new adapter begins as peft's: `A` uniform within `1 / sqrt(inputs)`, `B` zero, so that the model
    /// answers as before.
    pub fn apply<B: Backend, M: Model<B>>(
        &self,
        mut model: M,
        names: &dyn CheckpointNames,
    ) -> Result<(M, Adaptation), LoraError> {
        self.refuse_tied::<B, M>(&mut model, names)?;
        let saved = self.saved_parameters::<B, M>(&model, names)?;
        let output = names.output_module();
        let (mut available, mut modules) = (Vec::new(), Vec::new());
        for (index, (name, linear)) in model.linears_mut().into_iter().enumerate() {
            let weight = weight_of(&name);
            let module = layer_of(&names.tensor_name(&weight)).to_owned();
            if !saved.contains(&weight.name) && self.targets.selects(&module, output) {
                self.adapt(linear, &name, index);
                modules.push(module.clone());
            }
            available.push(module);
        }
        if modules.is_empty() {
            return Err(LoraError::NoTarget {
                targets: self.targets.to_string(),
                is_pattern: matches!(self.targets, Targets::Pattern { .. }),
                available: group_names(&available),
            });
        }
        let model = freeze::<B, M>(model, &saved);
        let saved = self.modules_to_save.clone();
        Ok((model, Adaptation { modules, saved }))
    }

    /// Refuses names that choose no layer where others do: a slip that would go unseen.
    pub fn check_names<B: Backend, M: Model<B>>(
        &self,
        model: &mut M,
        names: &dyn CheckpointNames,
    ) -> Result<(), LoraError> {
        self.refuse_tied::<B, M>(model, names)?;
        let modules = linear_modules::<B, M>(model, names);
        match self.targets.idle(&modules) {
            None => Ok(()),
            Some(idle) => Err(LoraError::NoTarget {
                targets: idle.to_owned(),
                is_pattern: false,
                available: group_names(&modules),
            }),
        }
    }

    /// Of a model whose output layer is its embedding, refuses to change one apart from the other.
    fn refuse_tied<B: Backend, M: Model<B>>(
        &self,
        model: &mut M,
        names: &dyn CheckpointNames,
    ) -> Result<(), LoraError> {
        if has_output_layer::<B, M>(model, names) {
            return Ok(());
        }
        let name = names.output_module();
        let mut ends = self.modules_to_save.iter();
        let weight = format!("{name}.weight");
        if self.targets.selects(name, name) || ends.any(|end| is_in_module(&weight, end)) {
            return Err(LoraError::TiedOutput { name });
        }
        let mut parameters = list::<B, M>(model).into_iter();
        // Words come before positions.
        let embedding = parameters.find(|parameter| parameter.path.layer == "Embedding");
        let embedding = embedding.map(|parameter| names.tensor_name(&parameter.path));
        let mut ends = self.modules_to_save.iter();
        let tied = embedding.and_then(|name| ends.find(|end| is_in_module(&name, end)));
        match tied {
            Some(name) => Err(LoraError::Tied { name: name.clone() }),
            None => Ok(()),
        }
    }

    fn adapt<B: Backend>(&self, linear: &mut Linear<B>, name: &str, index: usize) {
        let [inputs, outputs] = linear.weight.lazy_shape().dims();
        let dropout = Dropout::new(self.dropout, FIRST_SITE + index);
        if let Some(adapter) = &mut linear.adapter {
            (adapter.dropout, adapter.scale) = (dropout, self.scale);
            return;
        }
        let (sizes, device) = ([inputs, outputs], linear.weight.lazy_device());
        let adapter = LoraAdapter::new(sizes, self.rank, self.scale, dropout, &device);
        let limit = 1.0 / (inputs as f64).sqrt();
        let path = format!("{name}.adapter.lora_a");
        let values = uniform_values(&path, inputs * self.rank, self.seed, limit);
        let values = TensorData::new(values, [inputs, self.rank]);
        linear.adapter = Some(LoraAdapter {
            lora_a: replace(adapter.lora_a, values),
            ..adapter
        });
    }

    /// Names of the parameters that are trained in full.
    fn saved_parameters<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        names: &dyn CheckpointNames,
    ) -> Result<HashSet<String>, LoraError> {
        let parameters: Vec<(String, String)> = list::<B, M>(model)
            .into_iter()
            .filter(|parameter| parameter.path.layer != ADAPTER_LAYER)
            .map(|parameter| (names.tensor_name(&parameter.path), parameter.path.name))
            .collect();
        let mut saved = HashSet::new();
        for end in &self.modules_to_save {
            let found = parameters
                .iter()
                .filter(|(name, _)| is_in_module(name, end));
            let mut found = found.map(|(_, own)| own.clone()).peekable();
            if found.peek().is_none() {
                let modules = parameters.iter().map(|(name, _)| layer_of(name).to_owned());
                let modules: BTreeSet<String> = modules.collect();
                return Err(LoraError::NoModule {
                    name: end.clone(),
                    available: group_names(&modules.into_iter().collect::<Vec<_>>()),
                });
            }
            saved.extend(found);
        }
        Ok(saved)
    }
}

/// Freezes all but adapters and the parameters named.
fn freeze<B: Backend, M: Model<B>>(model: M, saved: &HashSet<String>) -> M {
    struct Freeze<'a>(&'a HashSet<String>);
    impl<B: Backend> NamedMapper<B> for Freeze<'_> {
        fn map<const D: usize>(
            &mut self,
            path: &ParameterPath,
            parameter: Param<Tensor<B, D>>,
        ) -> Param<Tensor<B, D>> {
            let is_trained = path.layer == ADAPTER_LAYER || self.0.contains(&path.name);
            // `map` forces a lazy value, so that clones share one.
            parameter.map(|tensor| tensor.set_require_grad(is_trained))
        }
    }
    map_named::<B, M>(model, &mut Freeze(saved))
}

/// Whether a model has an output layer of its own; else its embedding is that too.
pub fn has_output_layer<B: Backend, M: Model<B>>(
    model: &mut M,
    names: &dyn CheckpointNames,
) -> bool {
    let modules = linear_modules::<B, M>(model, names);
    let output = names.output_module();
    modules.iter().any(|module| is_within(module, output))
}

/// The linear layers of a model, by checkpoint names.
fn linear_modules<B: Backend, M: Model<B>>(
    model: &mut M,
    names: &dyn CheckpointNames,
) -> Vec<String> {
    let linears = model.linears_mut().into_iter();
    let weights = linears.map(|(name, _)| names.tensor_name(&weight_of(&name)));
    weights.map(|name| layer_of(&name).to_owned()).collect()
}

/// Folds every adapter into its weight, `W + s A B`, and takes it off.
pub fn merge<B: Backend, M: Model<B>>(mut model: M) -> Result<M, LoraError> {
    let mut is_changed = false;
    for (_, linear) in model.linears_mut() {
        if let Some(adapter) = linear.adapter.take() {
            let weight = (linear.weight.val() + adapter.change()).detach();
            linear.weight = Param::initialized(linear.weight.id, weight);
            is_changed = true;
        }
    }
    if is_changed {
        Ok(model)
    } else {
        Err(LoraError::NothingToMerge)
    }
}

fn group_names(modules: &[String]) -> Vec<String> {
    group(modules).into_iter().map(|(name, _)| name).collect()
}
