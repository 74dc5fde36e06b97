//! Gradients of whole models and the losses of their training, beside the stored ones.

use rekindle_data::Batching;
use rekindle_nn::{CheckpointNames, is_transposed, list, tensor_name};
use rekindle_train::batch::Row;
use rekindle_train::evaluate::Runner;
use rekindle_train::optimizer::{Gradients, to_host};
use rekindle_train::recipe::{DataRecipe, Recipe, TrainRecipe};
use rekindle_train::task::{TrainableBackend, TrainableModel, TrainableTask};

use super::compare::Scale;
use super::stored::Array;
use super::suite::Computed;
use crate::steps::steps;

/// Largest deviation from torch of logits, of gradients (to the largest of a tensor, and to the norm over
/// all where that is tiny), and of the losses and norms of a trajectory.
pub(super) const MODEL: f64 = 1e-4;

/// Puts each gradient beside the stored one of its tensor, whose name `stored` gets.
///
/// # Panics
/// If a trained parameter has no gradient, or a frozen one has.
pub(super) fn compare<B: TrainableBackend, M: TrainableModel<B>>(
    model: &M,
    gradients: &Gradients<B>,
    names: &dyn CheckpointNames,
    stored: impl Fn(&str) -> Array,
) -> Vec<Computed> {
    let missing = gradients.missing(model);
    assert!(missing.is_empty(), "no gradient of {}", missing.join(", "));
    let mut computed = Vec::new();
    for parameter in list::<B, M>(model) {
        let path = &parameter.path;
        let Some(found) = gradients.get(&path.name) else {
            continue;
        };
        assert!(parameter.is_trainable, "`{}` is frozen", path.name);
        let stored = stored(&tensor_name(names, path));
        let stored = if is_transposed(names, path) {
            stored.transposed()
        } else {
            stored
        };
        computed.push(Computed::new(&path.name, to_host(found.clone()), &stored));
    }
    let squares = computed.iter().flat_map(|tensor| &tensor.stored);
    let norm = squares.map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    for tensor in &mut computed {
        tensor.scale = Scale::Gradient { norm };
    }
    computed
}

/// The recipe of the stored trajectories, 20 steps in all.
pub(super) fn recipe(epochs: usize, batch_size: usize) -> Recipe {
    Recipe {
        data: DataRecipe {
            batching: Batching::Sequential,
            ..DataRecipe::default()
        },
        train: TrainRecipe {
            epochs: Some(epochs),
            batch_size,
            learning_rate: Some(1e-3),
            warmup: 2.0,
            ..TrainRecipe::default()
        },
        ..Recipe::default()
    }
}

/// Losses and gradient norms of the training loop itself, beside the stored ones.
pub(super) fn follow<B, M, T>(
    (recipe, runner): (&Recipe, Runner<T>),
    rows: &[Row],
    model: M,
    [loss, norm]: [&[f32]; 2],
) -> [Vec<Computed>; 2]
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let steps = match steps((recipe, runner), rows, model) {
        Ok(steps) => steps,
        Err(error) => panic!("{error}"),
    };
    let losses = steps.iter().map(|step| step.loss as f32).collect();
    let norms = steps.iter().map(|step| step.grad_norm as f32).collect();
    let trace = |label, found, stored: &[f32]| {
        let stored = Array {
            shape: vec![stored.len()],
            values: stored.to_vec(),
        };
        vec![Computed {
            scale: Scale::Each,
            ..Computed::new(label, found, &stored)
        }]
    };
    [
        trace("loss of step", losses, loss),
        trace("norm of step", norms, norm),
    ]
}
