//! The operations of [`TrainBackend`] composed of Burn's own: the reference for every kernel.

use burn::tensor::{Int, Tensor, TensorData, activation, backend::Backend};

use crate::{AdamWStep, Dropout, Heads, Rows, TrainBackend};

/// Added to the scores of padding; their softmax is exactly zero in f32.
const MASKED: f32 = -1e30;

/// See [`TrainBackend::attend`].
pub(crate) fn attend<B: TrainBackend>(
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    dropout: &Dropout,
    rows: &Rows,
) -> Tensor<B, 2> {
    let grid = Grid::<B>::new(rows, &q.device());
    let split = |x: Tensor<B, 2>, number: usize| {
        grid.spread(x)
            .reshape([rows.len(), grid.width, number, heads.size])
            .swap_dims(1, 2) // [B, H, T, C]
    };
    let (q, k, v) = (
        split(q, heads.queries),
        split(k, heads.keys),
        split(v, heads.keys),
    );
    let scores = q.matmul(k.transpose()) / (heads.size as f64).sqrt(); // [B, H, T, T]
    let scores = match &grid.bias {
        Some(bias) => scores + bias.clone(),
        None => scores,
    };
    let weights = dropout.forward(activation::softmax(scores, 3), rows.noise());
    let mixed = weights.matmul(v).swap_dims(1, 2); // [B, T, H, C]
    grid.collect(mixed.reshape([rows.len() * grid.width, heads.queries * heads.size]))
}

/// Rows laid out as a rectangle of `[B, T]` slots.
struct Grid<B: Backend> {
    width: usize,
    /// Scores of padding keys, `[B, 1, 1, T]`; `None` where there is no padding.
    bias: Option<Tensor<B, 4>>,
    /// Slot in `N` of each grid slot, and grid slot of each slot in `N`; `None` where they are the same.
    indices: Option<[Tensor<B, 1, Int>; 2]>,
}

impl<B: Backend> Grid<B> {
    fn new(rows: &Rows, device: &B::Device) -> Self {
        let width = rows.uniform_width().unwrap_or_else(|| rows.longest());
        let bias = rows
            .lengths()
            .iter()
            .any(|&length| length < width)
            .then(|| {
                let bias: Vec<f32> = rows
                    .lengths()
                    .iter()
                    .flat_map(|&length| {
                        (0..width).map(move |t| if t < length { 0.0 } else { MASKED })
                    })
                    .collect();
                Tensor::from_data(TensorData::new(bias, [rows.len(), 1, 1, width]), device)
            });
        let indices = rows.uniform_width().is_none().then(|| {
            let starts = rows.starts();
            let spread = (0..rows.len()).flat_map(|row| {
                let (start, length) = (starts[row], rows.lengths()[row]);
                // Padding repeats the row's first token: it is masked as a key and dropped as a query.
                (0..width).map(move |t| if t < length { start + t } else { start })
            });
            let collect = rows.spread(0, |row, position| row * width + position);
            [
                indices(spread, device),
                indices(collect.into_iter(), device),
            ]
        });
        Self {
            width,
            bias,
            indices,
        }
    }

    /// `[N, D]` to `[B·T, D]`.
    fn spread(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([spread, _]) => x.select(0, spread.clone()),
            None => x,
        }
    }

    /// `[B·T, D]` to `[N, D]`.
    fn collect(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([_, collect]) => x.select(0, collect.clone()),
            None => x,
        }
    }
}

fn indices<B: Backend>(
    slots: impl Iterator<Item = usize>,
    device: &B::Device,
) -> Tensor<B, 1, Int> {
    let slots: Vec<i32> = slots.map(|slot| slot as i32).collect();
    Tensor::from_data(slots.as_slice(), device)
}

/// See [`TrainBackend::normalize_layer`].
pub(crate) fn normalize_layer<B: Backend>(
    x: Tensor<B, 2>,
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let mean = x.clone().mean_dim(1); // [N, 1]
    let centered = x - mean;
    let variance = (centered.clone() * centered.clone()).mean_dim(1); // [N, 1]
    let normalized = centered / (variance + epsilon).sqrt();
    normalized * scale.unsqueeze() + shift.unsqueeze()
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

/// See [`TrainBackend::cross_entropy_sum`].
pub(crate) fn cross_entropy_sum<B: Backend>(
    logits: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
) -> Tensor<B, 1> {
    let targets = targets.unsqueeze_dim(1); // [N, 1]
    activation::log_softmax(logits, 1)
        .gather(1, targets)
        .sum()
        .neg()
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
