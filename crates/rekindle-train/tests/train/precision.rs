//! Weights in bf16, moved by masters in f32.

use burn::module::AutodiffModule;
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use burn_ndarray::NdArray;
use rekindle_nn::{Linear, TensorSource};
use rekindle_train::optimizer::{AdamW, Gradients, to_host};
use rekindle_train::recipe::Precision;

use crate::lab::B;

const RATE: f64 = 1e-5;
const STEPS: usize = 600;
const NAME: &str = "weight";

/// A layer whose weights are near 1, where bf16 has steps of 2⁻⁷: 800 updates of [`RATE`].
fn layer() -> Linear<B> {
    let values: Vec<f32> = (0..64).map(|k| 1.0 + k as f32 / 64.0).collect();
    let mut layer = Linear::without_bias(8, 8, &FlexDevice);
    let weight = Tensor::from_data(TensorData::new(values, [8, 8]), &FlexDevice);
    layer.weight = layer.weight.map(|_| weight.require_grad());
    layer
}

/// Updates by a gradient of one sign, so that each moves by the learning rate.
fn train(
    mut layer: Linear<B>,
    mut optimizer: AdamW<Flex>,
    steps: usize,
) -> (Linear<B>, AdamW<Flex>) {
    for _ in 0..steps {
        let mut gradients = Gradients::<B>::default();
        gradients.add(&layer, layer.weight.val().sum().backward());
        layer = optimizer.step(layer, gradients, 1.0, &|_| RATE);
    }
    (layer, optimizer)
}

fn values(layer: &Linear<B>) -> Vec<f32> {
    to_host(layer.valid().weight.val().flatten::<1>(0, 1))
}

fn master(optimizer: &AdamW<Flex>) -> Vec<f32> {
    let master = |tensor: &rekindle_nn::ExportedTensor| tensor.name == format!("{NAME}.master");
    let found = optimizer.export().into_iter().find(master);
    (found.expect("a bf16 weight has a master").values)()
}

#[test]
fn small_updates_of_bf16_weights_add_up() {
    let (exact, _) = train(layer(), AdamW::new(0.0), STEPS);
    let half = Precision::Bf16.cast::<B, _>(layer());
    let before = values(&half);
    let (half, optimizer) = train(half, AdamW::new(0.0), STEPS);
    assert_eq!(half.weight.val().dtype(), DType::BF16);
    let moved = before.iter().zip(values(&half)).filter(|(a, b)| **a != *b);
    assert!(moved.count() >= 60, "of 64 weights");
    for (master, exact) in master(&optimizer).iter().zip(values(&exact)) {
        // The first weights were rounded to bf16.
        assert!(
            (master - exact).abs() < 1.0 / 256.0 + 1e-6,
            "{master} {exact}"
        );
    }
    let rounded: Tensor<Flex, 1> = Tensor::from_data(master(&optimizer).as_slice(), &FlexDevice);
    let rounded = to_host(rounded.cast(DType::BF16).cast(DType::F32));
    assert_eq!(values(&half), rounded, "weights are their masters, rounded");
}

#[test]
fn masters_are_part_of_a_checkpoint() {
    let start = || Precision::Bf16.cast::<B, _>(layer());
    let (whole, _) = train(start(), AdamW::new(0.01), 40);
    let (half, optimizer) = train(start(), AdamW::new(0.01), 20);
    let tensors: Vec<_> = optimizer.export().into_iter().collect();
    let saved: Vec<(String, Vec<usize>, Vec<f32>)> = tensors
        .into_iter()
        .map(|tensor| (tensor.name, tensor.shape, (tensor.values)()))
        .collect();
    let shapes = saved
        .iter()
        .map(|(name, shape, _)| (name.clone(), shape.clone()));
    let source = TensorSource::new(shapes, |name| {
        let found = saved.iter().find(|(known, _, _)| known == name);
        found
            .map(|(_, _, values)| values.clone())
            .ok_or("not saved")
    });
    let parameters = [(NAME.to_owned(), 64)];
    let optimizer = AdamW::restore(0.01, 20, parameters, &source, &FlexDevice);
    let (parts, _) = train(half, optimizer.expect("all of it was saved"), 20);
    assert_eq!(values(&parts), values(&whole));
}

#[test]
fn a_backend_without_bf16_says_so() {
    assert!(Precision::Bf16.is_supported::<Flex>(&FlexDevice));
    assert!(!Precision::Bf16.is_supported::<NdArray>(&burn_ndarray::NdArrayDevice::Cpu));
}
