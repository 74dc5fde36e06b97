//! What follows a backward pass: the norm over all gradients, clipping, and the optimizer's update.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};
use rekindle_nn::{AdamWStep, TrainBackend};
use rekindle_train::optimizer::{Gradients, clip_factor};
use rekindle_train::task::{Inner, TrainableBackend};

use super::What;
use super::stored::Stored;
use super::suite::{Computed, Suite, host};

/// As for single operations; three updates and a norm add up a handful of roundings.
const ROUNDING: f64 = 1e-5;

/// Measures clipping and the optimizer.
pub(super) fn measure<B: TrainableBackend>(suite: &mut Suite, device: &B::Device) {
    let stored = Stored::operations();
    suite.check("clipping", ROUNDING, [What::Norm, What::Gradient], || {
        clipping::<B>(&stored, device)
    });
    suite.check("adamw, 3 steps", ROUNDING, [What::Update], || {
        [adamw::<Inner<B>>(&stored, device)]
    });
}

/// A module whose gradients are of three ranks.
#[derive(Module, Debug)]
struct Three<B: Backend> {
    matrix: Param<Tensor<B, 2>>,
    vector: Param<Tensor<B, 1>>,
    cube: Param<Tensor<B, 3>>,
}

fn clipping<B: TrainableBackend>(stored: &Stored, device: &B::Device) -> [Vec<Computed>; 2] {
    const MAX_NORM: f64 = 1.0;
    let names = ["matrix", "vector", "cube"];
    let input = |k| stored.floats(&format!("clip/in.{k}")).data();
    let model = Three::<B> {
        matrix: Param::from_data(input(0), device),
        vector: Param::from_data(input(1), device),
        cube: Param::from_data(input(2), device),
    };
    // The gradient of half a sum of squares is the number itself.
    let squares = [
        model.matrix.val().powi_scalar(2).sum(),
        model.vector.val().powi_scalar(2).sum(),
        model.cube.val().powi_scalar(2).sum(),
    ];
    let half = Tensor::cat(squares.to_vec(), 0).sum() * 0.5;
    let mut gradients = Gradients::<B>::default();
    gradients.add(&model, half.backward());
    let missing = gradients.missing(&model);
    assert!(missing.is_empty(), "no gradient of {}", missing.join(", "));
    let norm = gradients.norm();
    let factor = clip_factor(norm, MAX_NORM);
    let clipped = names.into_iter().enumerate().map(|(k, name)| {
        let gradient = gradients.get(name).expect("every parameter has a gradient");
        let stored = stored.floats(&format!("clip/out.{k}"));
        Computed::new(name, host(gradient.clone() * factor), &stored)
    });
    let clipped = clipped.collect();
    let norm = Computed::new("norm", vec![norm as f32], &stored.floats("clip/norm"));
    [vec![norm], clipped]
}

fn adamw<B: TrainBackend>(stored: &Stored, device: &B::Device) -> Vec<Computed> {
    /// As clipping would scale the gradients; a power of two changes no digit.
    const GRADIENT_SCALE: f64 = 0.25;
    let flat = |name: &str| {
        let array = stored.floats(name);
        Tensor::<B, 1>::from_data(array.values.as_slice(), device)
    };
    let parameter = flat("adamw/in.param");
    let zeros = parameter.zeros_like();
    let mut state = [parameter, zeros.clone(), zeros];
    for count in 1..=3 {
        let gradient = flat(&format!("adamw/in.grad.{}", count - 1)) / GRADIENT_SCALE;
        let step = AdamWStep {
            learning_rate: 1e-2,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_scale: GRADIENT_SCALE,
            count,
        };
        state = B::adamw_update(state, gradient, &step);
    }
    let names = ["out", "moment1", "moment2"].into_iter().zip(state);
    let computed = names.map(|(name, tensor)| {
        let stored = stored.floats(&format!("adamw/{name}"));
        Computed::new(name, host(tensor), &stored)
    });
    computed.collect()
}
