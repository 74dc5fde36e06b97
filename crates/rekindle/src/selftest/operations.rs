//! Operations, layers and losses, forward and backward.

pub(super) mod decoder;

use burn::module::Param;
use burn::tensor::{Int, Tensor, activation, backend::Backend};
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{Activation, Dropout, Embedding, Heads, LayerNorm, Linear, Masks, Noise, Rows};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::objective::{Objective, TagTarget, Target};
use rekindle_train::task::TrainableBackend;

use super::What;
use super::stored::{Array, Case, Input, Stored};
use super::suite::Suite;

/// Sums of some ten f32 products, in whatever order, and the polynomials that stand for transcendental
/// functions; relative to the largest number of a result.
const ROUNDING: f64 = 1e-5;

/// Rows of the attention cases.
const ROW_LENGTHS: [usize; 3] = [3, 5, 1];

/// Measures every operation that a model or an objective uses.
pub(super) fn measure<B: TrainableBackend>(suite: &mut Suite, device: &B::Device) {
    let stored = Stored::operations();
    layers::<B>(suite, &stored, device);
    elementwise::<B>(suite, &stored, device);
    attention::<B>(suite, &stored, device);
    decoder::measure::<B>(suite, &stored, device);
    losses::<B>(suite, &stored, device);
    tagging::<B>(suite, &stored, device);
    rearrangements::<B>(suite, &stored, device);
    dropout::<B>(suite, &stored, device);
}

fn layers<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let row = |name| (name, What::Forward, ROUNDING);
    suite.operation::<B, 2>(row("matmul"), &stored.case("matmul"), device, |inputs| {
        let (x, weight) = (inputs.take::<2>(), inputs.take());
        x.matmul(weight)
    });
    let mut linear = stored.case("linear");
    // Checkpoints hold the transpose of the layer's weight.
    linear.inputs[1] = linear.inputs[1].transposed();
    suite.operation::<B, 2>(row("linear"), &linear, device, |inputs| {
        let x = inputs.take();
        let weight = Param::from_tensor(inputs.take());
        let bias = Some(Param::from_tensor(inputs.take()));
        Linear {
            weight,
            bias,
            adapter: None,
        }
        .forward(x, None)
    });
    let ids = indices(&stored.integers("embedding/in.1"), device);
    suite.operation::<B, 2>(
        row("embedding"),
        &stored.case("embedding"),
        device,
        |inputs| {
            let weight = Param::from_tensor(inputs.take());
            Embedding { weight }.forward(ids)
        },
    );
    for (name, epsilon) in [("layer_norm", 1e-12), ("layer_norm_shifted", 1e-5)] {
        suite.operation::<B, 2>(row(name), &stored.case(name), device, |inputs| {
            let x = inputs.take::<2>();
            let mut norm = LayerNorm::new(x.dims()[1], epsilon, device);
            norm.weight = Param::from_tensor(inputs.take());
            norm.bias = Param::from_tensor(inputs.take());
            norm.forward(x)
        });
    }
}

fn elementwise<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let functions = [
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
    ];
    for (name, function) in functions {
        let row = (name, What::Forward, ROUNDING);
        suite.operation::<B, 2>(row, &stored.case(name), device, |inputs| {
            function.forward(inputs.take())
        });
    }
    let row = ("softmax", What::Forward, ROUNDING);
    suite.operation::<B, 2>(row, &stored.case("softmax"), device, |inputs| {
        activation::softmax(inputs.take(), 1)
    });
}

fn attention<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let case = stored.case("attention");
    let heads = Heads::bidirectional(2, 4);
    let ragged = Rows::ragged(ROW_LENGTHS.to_vec());
    let padded = Rows::padded(ROW_LENGTHS.to_vec(), super::WIDTH_MULTIPLE);
    for (name, rows) in [("attention, ragged", ragged), ("attention, padded", padded)] {
        let row = (name, What::Forward, ROUNDING);
        suite.operation::<B, 2>(row, &case.placed(&rows), device, |inputs| {
            let qkv = [inputs.take(), inputs.take(), inputs.take()];
            let mixed = B::attend(qkv, heads, &Dropout::new(0.0, 0), &rows, &Masks::default());
            mixed.select(0, tokens(&rows, device))
        });
    }
}

/// The slots that hold tokens: what comes out at padding means nothing.
pub(super) fn tokens<B: Backend>(rows: &Rows, device: &B::Device) -> Tensor<B, 1, Int> {
    let starts = rows.starts();
    let tokens = starts.iter().zip(rows.lengths());
    let tokens = tokens.flat_map(|(&start, &length)| start as i64..(start + length) as i64);
    indices(&tokens.collect::<Vec<_>>(), device)
}

fn losses<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let row = |name| (name, What::Loss, ROUNDING);
    let name = "cross_entropy";
    let classes = stored.integers("cross_entropy/in.1");
    let targets = classes.iter().map(|&class| Target::Class(class as usize));
    let loss = Loss::new(TaskKind::Classify, 4, targets);
    suite.operation::<B, 1>(row(name), &stored.case(name), device, |inputs| {
        loss.mean(inputs.take())
    });
    let name = "binary_cross_entropy";
    let labels = stored.floats("binary_cross_entropy/in.1").values;
    let targets = labels
        .chunks(3)
        .map(|labels| Target::Labels(labels.iter().map(|&label| label == 1.0).collect()));
    let loss = Loss::new(TaskKind::MultiLabel, 3, targets);
    suite.operation::<B, 1>(row(name), &stored.case(name), device, |inputs| {
        loss.mean(inputs.take())
    });
    let numbers = stored.floats("mse/in.1").values.into_iter();
    let targets = numbers.map(|number| Target::Number(number.into()));
    let loss = Loss::new(TaskKind::Regress, 1, targets);
    suite.operation::<B, 1>(row("mse"), &stored.case("mse"), device, |inputs| {
        loss.mean(inputs.take::<1>().unsqueeze_dim(1)) // [R, 1]
    });
}

/// The loss over the words of a row, some of which have no token.
fn tagging<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let tags = stored.integers("tagging/in.1");
    let tag = |(token, &class): (usize, &i64)| TagTarget {
        class: class.max(0) as usize,
        token: (class >= 0).then_some(token),
    };
    let row = Row {
        ids: vec![0; tags.len()],
        type_ids: vec![0; tags.len()],
        target: Target::Tags(tags.iter().enumerate().map(tag).collect()),
        number: 0,
    };
    let loss = Loss::new(TaskKind::Tag, 4, [row.target.clone()]);
    let name = ("tagging", What::Loss, ROUNDING);
    suite.operation::<B, 1>(name, &stored.case("tagging"), device, |inputs| {
        let batch = Batch::<B>::new(&[&row], Layout::Ragged, device);
        loss.mean(inputs.take::<2>().select(0, batch.scored))
    });
}

/// Selects, gathers and swaps of dimensions: numbers only move, so that nothing may be rounded but the
/// sums of what comes back.
fn rearrangements<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let row = |name| (name, What::Forward, ROUNDING);
    let x = stored.floats("attention/in.0"); // [9, 8]
    let up = stored.floats("attention/in.1");

    let slots = [4, 0, 4, 8];
    let case = moving(&x, &up, vec![4, 8], |k| slots[k / 8] as usize * 8 + k % 8);
    suite.operation::<B, 2>(row("select"), &case, device, |inputs| {
        inputs.take::<2>().select(0, indices(&slots, device))
    });

    let columns = [7, 0, 3, 3, 1, 6, 2, 5, 4];
    let case = moving(&x, &up, vec![9, 1], |k| k * 8 + columns[k] as usize);
    suite.operation::<B, 2>(row("gather"), &case, device, |inputs| {
        let columns = indices::<B>(&columns, device).unsqueeze_dim(1); // [9, 1]
        inputs.take::<2>().gather(1, columns)
    });

    // [B, T, D] to [B, H, C, T], as the keys of 3 rows of 3 tokens and 2 heads of 4.
    let case = moving(&x, &up, vec![3, 2, 4, 3], |k| {
        let (row, head, column, token) = (k / 24, k / 12 % 2, k / 3 % 4, k % 3);
        (row * 3 + token) * 8 + head * 4 + column
    });
    suite.operation::<B, 4>(row("transpose of heads"), &case, device, |inputs| {
        let heads = inputs.take::<2>().reshape([3, 3, 2, 4]); // [B, T, H, C]
        heads.swap_dims(1, 2).transpose()
    });
}

/// A case whose output holds, at `k`, element `from(k)` of its input.
fn moving(x: &Array, up: &Array, shape: Vec<usize>, from: impl Fn(usize) -> usize) -> Case {
    let output = x.moved(shape.clone(), &from);
    let up = up.moved(shape, |k| k);
    let mut gradient = vec![0.0; x.values.len()];
    for (k, value) in up.values.iter().enumerate() {
        gradient[from(k)] += value;
    }
    let gradient = Array {
        shape: x.shape.clone(),
        values: gradient,
    };
    let input = Input {
        value: x.clone(),
        gradient,
    };
    Case {
        inputs: vec![input],
        output,
        up,
    }
}

/// A mask must be the same on every backend, and the same tomorrow: runs are resumed with it.
fn dropout<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    /// Which of 72 elements site 3 of step 5 keeps with seed 42, computed apart in Python.
    const KEPT: &str = "001011110101010111111110111111011011101110111111111110111111111111110111";
    let noise = Noise {
        seed: 42,
        step: 5,
        micro_batch: 1,
    };
    let rows = Rows::ragged(ROW_LENGTHS.to_vec()).with_noise(noise);
    let masked = |array: Array| {
        let factors = KEPT
            .chars()
            .map(|kept| if kept == '1' { 4.0 / 3.0 } else { 0.0 });
        Array {
            values: array
                .values
                .iter()
                .zip(factors)
                .map(|(x, f)| x * f)
                .collect(),
            shape: array.shape,
        }
    };
    let (x, up) = (
        stored.floats("attention/in.0"),
        stored.floats("attention/in.1"),
    );
    let case = Case {
        output: masked(x.clone()),
        inputs: vec![Input {
            value: x,
            gradient: masked(up.clone()),
        }],
        up,
    };
    let row = ("dropout", What::Forward, ROUNDING);
    suite.operation::<B, 2>(row, &case, device, |inputs| {
        Dropout::new(0.25, 3).forward(inputs.take::<2>(), rows.noise())
    });
}

fn indices<B: Backend>(indices: &[i64], device: &B::Device) -> Tensor<B, 1, Int> {
    let indices: Vec<i32> = indices.iter().map(|&index| index as i32).collect();
    Tensor::from_data(indices.as_slice(), device)
}

/// An objective and the targets of a batch.
struct Loss {
    objective: Objective,
    targets: Vec<Target>,
}

impl Loss {
    fn new(task: TaskKind, num_labels: usize, targets: impl IntoIterator<Item = Target>) -> Self {
        let labels = LabelSet::from_names((0..num_labels).map(|id| id.to_string()).collect());
        Self {
            objective: Objective::new(task, labels),
            targets: targets.into_iter().collect(),
        }
    }

    fn mean<B: TrainableBackend>(&self, logits: Tensor<B, 2>) -> Tensor<B, 1> {
        let targets: Vec<&Target> = self.targets.iter().collect();
        let weight: f64 = self
            .targets
            .iter()
            .map(|target| self.objective.weight(target))
            .sum();
        self.objective.loss_sum(logits, &targets) / weight
    }
}
