//! Losses and their gradients against their definitions, on both backends of a processor.

use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::TrainBackend;
use rekindle_train::objective::{Objective, Target};

/// The largest difference of a loss, relative to it, and of a gradient, which is at most 1; the processor's
/// approximate reciprocals are off by 6e-5 and more.
const TOLERANCE: f64 = 1e-6;

const LOGITS: [f32; 9] = [0.0, 1.5, -0.3, 7.25, 0.0, -40.0, 0.01, 90.0, -2.6];

/// The loss of rows of three logits, and its gradient.
fn found<B: TrainBackend>(task: TaskKind, targets: &[Target]) -> (f64, Vec<f64>) {
    let device = B::Device::default();
    let labels = LabelSet::from_names(["a", "b", "c"].map(str::to_owned).to_vec());
    let objective = Objective::new(task, labels);
    let logits = TensorData::new(LOGITS.to_vec(), [3, 3]);
    let logits = Tensor::<Autodiff<B>, 2>::from_data(logits, &device).require_grad();
    let loss = objective.loss_sum(logits.clone(), &targets.iter().collect::<Vec<_>>());
    let gradient = logits.grad(&loss.backward()).expect("it is tracked");
    let loss = loss.into_data().iter::<f64>().next().expect("a number");
    (loss, gradient.into_data().iter::<f64>().collect())
}

fn check(task: TaskKind, targets: &[Target], loss: f64, gradient: &[f64]) {
    for (backend, (found_loss, found)) in [
        ("flex", found::<Flex>(task, targets)),
        ("ndarray", found::<NdArray>(task, targets)),
    ] {
        let difference = (found_loss - loss).abs();
        assert!(
            difference <= TOLERANCE * loss,
            "{backend}: {found_loss}, not {loss}"
        );
        assert_eq!(found.len(), gradient.len());
        for (index, (found, expected)) in found.iter().zip(gradient).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE,
                "{backend}: gradient {index} is {found}, not {expected}"
            );
        }
    }
}

#[test]
fn labels_are_judged_by_their_definition_also_at_zero() {
    let set = [true, false, true, false, false, true, true, true, false];
    let targets: Vec<Target> = set
        .chunks(3)
        .map(|labels| Target::Labels(labels.to_vec()))
        .collect();
    let numbers = LOGITS.map(f64::from);
    let labels = set.map(|is_set| f64::from(u8::from(is_set)));
    let pairs = || numbers.iter().zip(&labels);
    let loss = pairs().map(|(x, y)| x.max(0.0) + (-x.abs()).exp().ln_1p() - x * y);
    let gradient = pairs().map(|(x, y)| 1.0 / (1.0 + (-x).exp()) - y);
    check(
        TaskKind::MultiLabel,
        &targets,
        loss.sum(),
        &gradient.collect::<Vec<_>>(),
    );
}

#[test]
fn classes_are_judged_by_their_definition() {
    let classes = [1, 0, 1];
    let targets = classes.map(Target::Class);
    let (mut loss, mut gradient) = (0.0, Vec::new());
    for (logits, class) in LOGITS.chunks(3).zip(classes) {
        let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        let largest = logits.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - largest).exp()).sum();
        loss += largest + sum.ln() - logits[class];
        for (index, logit) in logits.iter().enumerate() {
            let is_target = f64::from(u8::from(index == class));
            gradient.push((logit - largest).exp() / sum - is_target);
        }
    }
    check(TaskKind::Classify, &targets, loss, &gradient);
}
