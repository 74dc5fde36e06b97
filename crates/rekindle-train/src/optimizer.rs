//! `AdamW` over a module's trainable parameters, and the gradients it takes.

use std::collections::HashMap;

use burn::module::{AutodiffModule, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::AutodiffBackend};
use rekindle_nn::{
    AdamWStep, ExportedTensor, NamedMapper, NamedVisitor, ParameterPath, TensorSource,
    TrainBackend, WeightsError, cast, list, map_named, visit_named,
};

use crate::task::{Inner, TrainableBackend};

/// torch's names of the two moments.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// Name of a master.
const MASTER: &str = "master";

/// torch adds this to the norm when it clips.
const CLIP_EPSILON: f64 = 1e-6;

/// Gradients by parameter name, flattened; summed over the micro-batches of a step.
#[derive(Debug)]
pub struct Gradients<B: TrainableBackend> {
    by_name: HashMap<String, Tensor<Inner<B>, 1>>,
}

impl<B: TrainableBackend> Default for Gradients<B> {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
        }
    }
}

impl<B: TrainableBackend> Gradients<B> {
    /// Adds the gradients of one backward pass, which may have reached some parameters only.
    pub fn add<M: AutodiffModule<B>>(&mut self, model: &M, mut gradients: B::Gradients) {
        let mut collect = Collect {
            sums: &mut self.by_name,
            gradients: &mut gradients,
        };
        visit_named::<B, M>(model, &mut collect);
    }

    /// Adds the gradients of another batch.
    pub fn merge(&mut self, other: Self) {
        for (name, gradient) in other.by_name {
            add_to(&mut self.by_name, name, gradient);
        }
    }

    /// The trainable parameters that have no gradient.
    pub fn missing<M: AutodiffModule<B>>(&self, model: &M) -> Vec<String> {
        let parameters = list::<B, M>(model).into_iter();
        let trained = parameters.filter(|parameter| parameter.is_trainable);
        trained
            .map(|parameter| parameter.path.name)
            .filter(|name| !self.by_name.contains_key(name))
            .collect()
    }

    /// L2 norm over all gradients together.
    pub fn norm(&self) -> f64 {
        let squares: Vec<Tensor<Inner<B>, 1>> = self
            .by_name
            .values()
            .map(|gradient| Inner::<B>::sum_of_squares(gradient.clone()))
            .collect();
        if squares.is_empty() {
            return 0.0;
        }
        let mut squares: Vec<f64> = Tensor::cat(squares, 0).into_data().iter::<f64>().collect();
        // The order of a hash map is not the same from run to run; that of the values is.
        squares.sort_by(f64::total_cmp);
        squares.into_iter().sum::<f64>().sqrt()
    }

    /// Gradient of a parameter, flattened.
    pub fn get(&self, name: &str) -> Option<&Tensor<Inner<B>, 1>> {
        self.by_name.get(name)
    }
}

/// Adds to the sum of a name, which may be the first.
fn add_to<B: burn::tensor::backend::Backend>(
    sums: &mut HashMap<String, Tensor<B, 1>>,
    name: String,
    gradient: Tensor<B, 1>,
) {
    let sum = match sums.remove(&name) {
        Some(sum) => sum + gradient,
        None => gradient,
    };
    sums.insert(name, sum);
}

/// Factor that brings a gradient of this norm down to `max_norm`; 1 if there is no bound.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm == 0.0 {
        1.0
    } else {
        (max_norm / (norm + CLIP_EPSILON)).min(1.0)
    }
}

struct Collect<'a, B: TrainableBackend> {
    sums: &'a mut HashMap<String, Tensor<Inner<B>, 1>>,
    gradients: &'a mut B::Gradients,
}

impl<B: TrainableBackend> NamedVisitor<B> for Collect<'_, B> {
    fn visit<const D: usize>(&mut self, path: &ParameterPath, parameter: &Param<Tensor<B, D>>) {
        let tensor = parameter.val();
        if !tensor.is_require_grad() {
            return;
        }
        let Some(gradient) = tensor.grad_remove(self.gradients) else {
            return;
        };
        let gradient = cast(gradient.flatten::<1>(0, D - 1), DType::F32);
        add_to(self.sums, path.name.clone(), gradient);
    }
}

/// `AdamW` with torch's defaults: β 0.9 and 0.999, ε 1e-8.
///
/// Of a parameter in another type than f32 it keeps a copy in f32, the master, which it moves; the
/// parameter is the master rounded. Otherwise small updates would be lost in the rounding.
#[derive(Debug)]
pub struct AdamW<B: TrainBackend> {
    weight_decay: f64,
    moments: HashMap<String, [Tensor<B, 1>; 2]>,
    masters: HashMap<String, Tensor<B, 1>>,
    count: u64,
}

impl<B: TrainBackend> AdamW<B> {
    /// An optimizer without state: moments appear with the first gradient of a parameter.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            moments: HashMap::new(),
            masters: HashMap::new(),
            count: 0,
        }
    }

    /// Moves each parameter that has a gradient.
    ///
    /// `learning_rate` gives the rate of a parameter, `gradient_scale` is the factor from clipping.
    #[must_use]
    pub fn step<A, M>(
        &mut self,
        model: M,
        gradients: Gradients<A>,
        gradient_scale: f64,
        learning_rate: &dyn Fn(&ParameterPath) -> f64,
    ) -> M
    where
        A: TrainableBackend + AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        self.count += 1;
        let mut update = Update {
            optimizer: self,
            gradients,
            gradient_scale,
            learning_rate,
        };
        map_named::<A, M>(model, &mut update)
    }

    /// The moments by the names that torch gives them, and the masters; with [`AdamW::count`] all that it remembers.
    pub fn export(&self) -> Vec<ExportedTensor> {
        let mut names: Vec<&String> = self.moments.keys().collect();
        names.sort_unstable();
        names
            .into_iter()
            .flat_map(|name| {
                let moments = MOMENTS.iter().copied().zip(&self.moments[name]);
                let master = self.masters.get(name).map(|master| (MASTER, master));
                moments.chain(master).map(move |(kind, values)| {
                    ExportedTensor::new(format!("{name}.{kind}"), values.clone())
                })
            })
            .collect()
    }

    /// An optimizer with the moments of these parameters, given by name and size, after `count` steps.
    pub fn restore(
        weight_decay: f64,
        count: u64,
        parameters: impl IntoIterator<Item = (String, usize)>,
        source: &TensorSource,
        device: &B::Device,
    ) -> Result<Self, WeightsError> {
        let mut optimizer = Self::new(weight_decay);
        optimizer.count = count;
        // Moments appear with the first update.
        if count == 0 {
            return Ok(optimizer);
        }
        for (name, size) in parameters {
            let read = |kind: &str| {
                let values = source.read(&format!("{name}.{kind}"), &[size])?;
                Ok(Tensor::from_data(TensorData::new(values, [size]), device))
            };
            let moments = [read(MOMENTS[0])?, read(MOMENTS[1])?];
            if source.has(&format!("{name}.{MASTER}")) {
                optimizer.masters.insert(name.clone(), read(MASTER)?);
            }
            optimizer.moments.insert(name, moments);
        }
        Ok(optimizer)
    }

    /// Steps taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Parameters that have state.
    pub fn num_states(&self) -> usize {
        self.moments.len()
    }
}

struct Update<'a, A: TrainableBackend> {
    optimizer: &'a mut AdamW<Inner<A>>,
    gradients: Gradients<A>,
    gradient_scale: f64,
    learning_rate: &'a dyn Fn(&ParameterPath) -> f64,
}

impl<A: TrainableBackend> NamedMapper<A> for Update<'_, A> {
    fn map<const D: usize>(
        &mut self,
        path: &ParameterPath,
        parameter: Param<Tensor<A, D>>,
    ) -> Param<Tensor<A, D>> {
        let Some(gradient) = self.gradients.by_name.remove(&path.name) else {
            return parameter;
        };
        let id = parameter.id;
        let tensor = parameter.into_value().inner();
        let (shape, device, dtype) = (tensor.dims(), tensor.device(), tensor.dtype());
        let master = self.optimizer.masters.remove(&path.name);
        let tensor = master.unwrap_or_else(|| cast(tensor.flatten::<1>(0, D - 1), DType::F32));
        let zeros = || Inner::<A>::zeros(tensor.dims()[0], &device);
        let [moment1, moment2] = self
            .optimizer
            .moments
            .remove(&path.name)
            .unwrap_or_else(|| [zeros(), zeros()]);
        let step = AdamWStep {
            learning_rate: (self.learning_rate)(path),
            weight_decay: if is_decayed(path) {
                self.optimizer.weight_decay
            } else {
                0.0
            },
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_scale: self.gradient_scale,
            count: self.optimizer.count,
        };
        let [tensor, moment1, moment2] =
            Inner::<A>::adamw_update([tensor, moment1, moment2], gradient, &step);
        self.optimizer
            .moments
            .insert(path.name.clone(), [moment1, moment2]);
        if dtype != DType::F32 {
            let masters = &mut self.optimizer.masters;
            masters.insert(path.name.clone(), tensor.clone());
        }
        let tensor = Tensor::from_inner(cast(tensor, dtype).reshape(shape));
        Param::initialized(id, tensor.require_grad())
    }
}

/// Whether weight decay applies: not to biases and norms, as in transformers' `Trainer`.
fn is_decayed(path: &ParameterPath) -> bool {
    !path.name.ends_with("bias") && !path.layer.ends_with("Norm")
}

/// Values of a gradient or parameter on the host.
pub fn to_host<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> Vec<f32> {
    let data: TensorData = tensor.into_data();
    data.iter::<f32>().collect()
}
