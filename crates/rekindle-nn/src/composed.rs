//! The operations of [`TrainBackend`] composed of Burn's own: the reference for every kernel.

mod attention;

use burn::tensor::{DType, Int, Tensor, activation, backend::Backend};

use crate::{AdamWStep, AdapterPass, Dropout, Noise, cast};

pub(crate) use attention::{attend, attend_cached};

/// See [`TrainBackend::normalize_layer`].
pub(crate) fn normalize_layer<B: Backend>(
    x: Tensor<B, 2>,
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let dtype = x.dtype();
    let x = cast(x, DType::F32);
    let mean = x.clone().mean_dim(1); // [N, 1]
    let centered = x - mean;
    let variance = (centered.clone() * centered.clone()).mean_dim(1); // [N, 1]
    let normalized = cast(centered / (variance + epsilon).sqrt(), dtype);
    normalized * scale.unsqueeze() + shift.unsqueeze()
}

/// See [`TrainBackend::normalize_rms`].
pub(crate) fn normalize_rms<B: Backend>(
    x: Tensor<B, 2>,
    scale: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let dtype = x.dtype();
    let x = cast(x, DType::F32);
    let square = (x.clone() * x.clone()).mean_dim(1); // [N, 1]
    let normalized = cast(x / (square + epsilon).sqrt(), dtype);
    normalized * scale.unsqueeze()
}

/// See [`TrainBackend::add`].
pub(crate) fn add<B: Backend>(
    x: Tensor<B, 2>,
    branch: Tensor<B, 2>,
    dropout: Option<(&Dropout, Noise)>,
) -> Tensor<B, 2> {
    let branch = match dropout {
        Some((dropout, noise)) => dropout.compose(branch, Some(noise)),
        None => branch,
    };
    branch + x
}

/// See [`TrainBackend::adapt`].
pub(crate) fn adapt<B: Backend>(
    [x, weight, a, b]: [Tensor<B, 2>; 4],
    bias: Option<Tensor<B, 1>>,
    pass: AdapterPass<'_>,
) -> Tensor<B, 2> {
    let y = x.clone().matmul(weight);
    let y = match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    };
    let x = match pass.dropout {
        Some((dropout, noise)) => dropout.compose(x, Some(noise)),
        None => x,
    };
    // Scaled where it is narrowest.
    let narrow = x.matmul(a) * pass.scale;
    y + narrow.matmul(b)
}

/// See [`TrainBackend::affine`].
pub(crate) fn affine<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
) -> Tensor<B, 2> {
    x.matmul(weight) + bias.unsqueeze()
}

/// See [`TrainBackend::sum_of_squares`].
///
/// Summed by rows first: a plain sum of a large tensor has no fixed order on some backends.
pub(crate) fn sum_of_squares<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    /// A row of this is short enough to be summed in order.
    const WIDEST: usize = 1024;
    let [length] = x.dims();
    let width = (1..=WIDEST.min(length))
        .rev()
        .find(|width| length.is_multiple_of(*width));
    let width = width.unwrap_or(1);
    let x = x.reshape([length / width, width]);
    (x.clone() * x).sum_dim(1).sum()
}

/// See [`TrainBackend::swiglu`].
pub(crate) fn swiglu<B: Backend>(gate: Tensor<B, 2>, up: Tensor<B, 2>) -> Tensor<B, 2> {
    activation::silu(gate) * up
}

/// See [`TrainBackend::gelu_exact`]. Burn's own `gelu` differentiates the approximation instead.
pub(crate) fn gelu_exact<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let phi = ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    x * phi
}

/// See [`TrainBackend::gelu_tanh`].
pub(crate) fn gelu_tanh<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    /// Coefficient of the cubic term (Hendrycks and Gimpel, 2016).
    const CUBIC: f64 = 0.044_715;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube * CUBIC) * (2.0 / std::f64::consts::PI).sqrt();
    x * (inner.tanh() + 1.0) * 0.5
}

/// See [`TrainBackend::rotate`].
pub(crate) fn rotate<B: Backend>(x: Tensor<B, 2>, [cos, sin]: &[Tensor<B, 2>; 2]) -> Tensor<B, 2> {
    let [slots, width] = x.dims();
    let half = cos.dims()[1];
    let dtype = x.dtype();
    let table = |table: &Tensor<B, 2>| cast(table.clone(), dtype).unsqueeze_dim::<3>(1); // [N, 1, C/2]
    let (cos, sin) = (table(cos), table(sin));
    let x = x.reshape([slots, width / (2 * half), 2 * half]); // [N, H, C]
    let first = x.clone().narrow(2, 0, half);
    let second = x.narrow(2, half, half);
    let turned = vec![
        first.clone() * cos.clone() - second.clone() * sin.clone(),
        second * cos + first * sin,
    ];
    Tensor::cat(turned, 2).reshape([slots, width])
}

/// See [`TrainBackend::cross_entropy`].
pub(crate) fn cross_entropy<B: Backend>(
    logits: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
) -> Tensor<B, 2> {
    let targets = targets.unsqueeze_dim::<2>(1); // [N, 1]
    let is_right = logits.clone().argmax(1).equal(targets.clone()).float();
    let is_right = cast(is_right, logits.dtype());
    let losses = activation::log_softmax(logits, 1).gather(1, targets).neg();
    Tensor::cat(vec![losses, is_right], 1)
}

/// See [`TrainBackend::adamw_update`].
pub(crate) fn adamw_update<B: Backend>(
    [parameter, moment1, moment2]: [Tensor<B, 1>; 3],
    gradient: Tensor<B, 1>,
    step: &AdamWStep,
) -> [Tensor<B, 1>; 3] {
    let gradient = if step.gradient_scale == 1.0 {
        gradient
    } else {
        gradient * step.gradient_scale
    };
    let moment2 = moment2 * step.beta2 + gradient.clone() * gradient.clone() * (1.0 - step.beta2);
    let moment1 = moment1 * step.beta1 + gradient * (1.0 - step.beta1);
    let count = step.count as f64;
    let correction1 = 1.0 - step.beta1.powf(count);
    let correction2 = (1.0 - step.beta2.powf(count)).sqrt();
    let denominator = moment2.clone().sqrt() / correction2 + step.epsilon;
    let update = moment1.clone() / denominator * (step.learning_rate / correction1);
    let decay = 1.0 - step.learning_rate * step.weight_decay;
    let parameter = if decay == 1.0 {
        parameter
    } else {
        parameter * decay
    };
    [parameter - update, moment1, moment2]
}
