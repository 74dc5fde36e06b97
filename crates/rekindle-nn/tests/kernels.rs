//! Each kernel against the composed operation, forward and backward, and what all kernels promise.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_nn::{
    AdamWStep, AdapterPass, Dropout, Heads, Kernel, Masks, Noise, Rotary, RotaryScaling, Rows,
    Sight, TrainBackend, kernel_calls, rotate, set_kernels, uniform,
};

type B = Autodiff<Flex>;

/// Relative to the largest number of a tensor.
const TOLERANCE: f32 = 1e-5;

const NOISE: Noise = Noise {
    seed: 5,
    step: 7,
    micro_batch: 1,
};

/// The switch is one of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers from `-scale` to `scale`.
fn numbers(seed: u64, length: usize, scale: f64) -> Vec<f32> {
    let number = |index| (uniform(seed, [1, index]) * 2.0 - 1.0) * scale;
    (0..length as u64)
        .map(|index| number(index) as f32)
        .collect()
}

fn matrix(seed: u64, shape: [usize; 2], scale: f64) -> Tensor<B, 2> {
    let values = numbers(seed, shape[0] * shape[1], scale);
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice).require_grad()
}

fn vector(seed: u64, length: usize, scale: f64) -> Tensor<B, 1> {
    let values = numbers(seed, length, scale);
    Tensor::from_data(values.as_slice(), &FlexDevice).require_grad()
}

fn values<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The output, and the gradients of its sum weighted by numbers.
fn run<const D: usize>(
    output: Tensor<B, D>,
    matrices: &[&Tensor<B, 2>],
    vectors: &[&Tensor<B, 1>],
) -> Vec<Vec<f32>> {
    let shape = output.shape();
    let weights = TensorData::new(numbers(99, shape.num_elements(), 1.0), shape);
    let weights = Tensor::<B, D>::from_data(weights, &FlexDevice);
    let gradients = (output.clone() * weights).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend(
        matrices
            .iter()
            .filter_map(|x| x.grad(&gradients))
            .map(values),
    );
    found.extend(
        vectors
            .iter()
            .filter_map(|x| x.grad(&gradients))
            .map(values),
    );
    assert_eq!(found.len(), 1 + matrices.len() + vectors.len());
    found
}

/// Computes with kernels, twice, and without; the kernels named are called in the first cases alone.
fn compare(what: &str, kernels: &[Kernel], compute: impl Fn() -> Vec<Vec<f32>>) {
    let count = || {
        kernels
            .iter()
            .map(|&kernel| kernel_calls(kernel))
            .collect::<Vec<_>>()
    };
    set_kernels(true);
    let before = count();
    let found = compute();
    let after = count();
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| after > before),
        "{what}: calls of {kernels:?} were {before:?}, and are {after:?}"
    );
    let again = compute();
    set_kernels(false);
    let before = count();
    let expected = compute();
    let after = count();
    set_kernels(true);
    assert_eq!(before, after, "{what}: a kernel that is off was called");
    assert!(found == again, "{what}: another run gives other numbers");
    for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE * largest.max(1e-6),
                "{what}, part {part}: number {index} is {found}, not {expected}; the largest is {largest}"
            );
        }
    }
}

#[test]
fn attention_equals_the_composed_one() {
    let _alone = alone();
    let kernels = [Kernel::Attend, Kernel::AttendBackward];
    let lengths = [3, 1, 17, 16, 70, 1, 33];
    let total: usize = lengths.iter().sum();
    let layouts = [
        ("ragged", Rows::ragged(lengths.to_vec())),
        ("one token", Rows::ragged(vec![1])),
        ("long", Rows::ragged(vec![total])),
        ("packed", Rows::packed(lengths.to_vec(), vec![3, 4], 1)),
    ];
    let sights = [
        Sight::Full,
        Sight::Causal { window: None },
        Sight::Causal { window: Some(5) },
        Sight::FromFirst,
    ];
    for (layout, rows) in layouts {
        for (index, sight) in sights.into_iter().enumerate() {
            for (queries, keys, size) in [(4, 4, 48), (6, 2, 7), (2, 1, 32)] {
                for (probability, scale) in [(0.0, 1.0), (0.3, 1.0), (0.1, 12.0)] {
                    let heads = Heads {
                        queries,
                        keys,
                        size,
                        sight,
                    };
                    let rows = rows.clone().with_noise(NOISE);
                    let what = format!("{layout} {heads:?}, dropout {probability}, scale {scale}");
                    compare(&what, &kernels, || {
                        let slots = rows.num_slots();
                        // What is computed for padding has no meaning.
                        let real = match sight {
                            Sight::FromFirst => vec![1.0_f32; rows.len()],
                            _ => rows.spread(0.0, |_, _| 1.0),
                        };
                        let real = Tensor::<B, 1>::from_data(real.as_slice(), &FlexDevice);
                        let seed = 10 * index as u64;
                        let q = matrix(seed, [real.dims()[0], queries * size], scale);
                        let k = matrix(seed + 1, [slots, keys * size], 1.0);
                        let v = matrix(seed + 2, [slots, keys * size], 1.0);
                        let dropout = Dropout::new(probability, 3);
                        let qkv = [q.clone(), k.clone(), v.clone()];
                        let output = B::attend(qkv, heads, &dropout, &rows, &Masks::default());
                        run(output * real.unsqueeze_dim(1), &[&q, &k, &v], &[])
                    });
                }
            }
        }
    }
}

#[test]
fn norms_equal_the_composed_ones() {
    let _alone = alone();
    // Of one or two numbers only their order is left, and the gradients are rounding alone.
    for (rows, width, scale) in [(1, 3, 1.0), (3, 5, 1.0), (70, 192, 1.0), (33, 384, 300.0)] {
        let what = format!("[{rows}, {width}] of {scale}");
        let inputs = || {
            let x = matrix(1, [rows, width], scale);
            (x, vector(2, width, 1.0), vector(3, width, 1.0))
        };
        let kernels = [Kernel::NormalizeLayer, Kernel::NormalizeLayerBackward];
        compare(&what, &kernels, || {
            let (x, weight, bias) = inputs();
            let y = B::normalize_layer(x.clone(), weight.clone(), bias.clone(), 1e-5);
            run(y, &[&x], &[&weight, &bias])
        });
        let kernels = [Kernel::NormalizeRms, Kernel::NormalizeRmsBackward];
        compare(&what, &kernels, || {
            let (x, weight, _) = inputs();
            let y = B::normalize_rms(x.clone(), weight.clone(), 1e-5);
            run(y, &[&x], &[&weight])
        });
    }
}

#[test]
fn activations_equal_the_composed_ones() {
    let _alone = alone();
    for (rows, width, scale) in [(1, 1, 1.0), (7, 5, 3.0), (300, 131, 6.0), (5, 7, 40.0)] {
        let what = format!("[{rows}, {width}] of {scale}");
        let inputs = || {
            [
                matrix(1, [rows, width], scale),
                matrix(2, [rows, width], scale),
            ]
        };
        compare(&what, &[Kernel::Gelu, Kernel::GeluBackward], || {
            let [x, _] = inputs();
            run(B::gelu_exact(x.clone()), &[&x], &[])
        });
        compare(&what, &[Kernel::Gelu, Kernel::GeluBackward], || {
            let [x, _] = inputs();
            run(B::gelu_tanh(x.clone()), &[&x], &[])
        });
        compare(&what, &[Kernel::Swiglu, Kernel::SwigluBackward], || {
            let [gate, up] = inputs();
            run(B::swiglu(gate.clone(), up.clone()), &[&gate, &up], &[])
        });
        compare(&what, &[Kernel::DropOut, Kernel::DropOutBackward], || {
            let [x, _] = inputs();
            let dropout = Dropout::new(0.25, 9);
            run(dropout.forward(x.clone(), Some(NOISE)), &[&x], &[])
        });
    }
}

#[test]
fn residual_sums_equal_the_composed_ones() {
    let _alone = alone();
    let kernels = [Kernel::Add, Kernel::AddBackward];
    for (rows, width, scale) in [(1, 1, 1.0), (7, 5, 3.0), (300, 131, 6.0)] {
        for probability in [0.0, 0.25] {
            let what = format!("[{rows}, {width}] of {scale}, dropout {probability}");
            compare(&what, &kernels, || {
                let x = matrix(1, [rows, width], scale);
                let branch = matrix(2, [rows, width], scale);
                let dropout = Dropout::new(probability, 9);
                let sum = dropout.add(x.clone(), branch.clone(), Some(NOISE));
                let found = run(sum, &[&x, &branch], &[]);
                // Somebody else holds both.
                assert_eq!(values(x.inner()), numbers(1, rows * width, scale));
                assert_eq!(values(branch.inner()), numbers(2, rows * width, scale));
                found
            });
            compare(&format!("{what}, of itself"), &kernels, || {
                let x = matrix(1, [rows, width], scale);
                let dropout = Dropout::new(probability, 9);
                run(dropout.add(x.clone(), x.clone(), Some(NOISE)), &[&x], &[])
            });
        }
    }
}

#[test]
fn linear_layers_and_tables_equal_the_composed_ones() {
    let _alone = alone();
    for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 2), (200, 65, 33), (130, 90, 110)] {
        let what = format!("[{rows}, {inputs}] to {outputs}");
        let kernels = [Kernel::Multiply, Kernel::MultiplyBackward];
        compare(&what, &kernels, || {
            let x = matrix(1, [rows, inputs], 1.0);
            let weight = matrix(2, [outputs, inputs], 1.0);
            let y = B::multiply(x.clone(), weight.clone().transpose());
            run(y, &[&x, &weight], &[])
        });
        compare(&what, &[Kernel::Affine, Kernel::AffineBackward], || {
            let x = matrix(1, [rows, inputs], 1.0);
            let weight = matrix(2, [inputs, outputs], 1.0);
            let bias = vector(3, outputs, 1.0);
            let y = B::affine(x.clone(), weight.clone(), bias.clone());
            run(y, &[&x, &weight], &[&bias])
        });
        let ids: Vec<i32> = (0..rows as i32).map(|i| i * 7 % inputs as i32).collect();
        compare(&what, &[Kernel::LookUp, Kernel::LookUpBackward], || {
            let table = matrix(1, [inputs, outputs], 1.0);
            let ids = Tensor::<B, 1, Int>::from_data(ids.as_slice(), &FlexDevice);
            run(B::look_up(table.clone(), ids), &[&table], &[])
        });
    }
}

#[test]
fn layers_with_adapters_equal_the_composed_ones() {
    let _alone = alone();
    let kernels = [Kernel::Adapt, Kernel::AdaptBackward];
    for (rows, inputs, outputs, rank) in [
        (1, 1, 1, 1),
        (5, 3, 2, 4),
        (200, 65, 33, 8),
        (130, 96, 110, 20),
    ] {
        for (probability, is_frozen) in [(0.0, true), (0.0, false), (0.3, true), (0.3, false)] {
            let dropout = Dropout::new(probability, 9);
            let pass = AdapterPass {
                scale: 1.7,
                dropout: (probability > 0.0).then_some((&dropout, NOISE)),
            };
            let factors = || {
                let weight = matrix(2, [inputs, outputs], 1.0);
                [
                    matrix(1, [rows, inputs], 1.0),
                    if is_frozen { weight.detach() } else { weight },
                    matrix(3, [inputs, rank], 1.0),
                    matrix(4, [rank, outputs], 1.0),
                ]
            };
            let what = format!(
                "[{rows}, {inputs}] to {outputs} by {rank}, dropout {probability}, frozen: {is_frozen}"
            );
            compare(&what, &kernels, || {
                let inputs = factors();
                let y = B::adapt(inputs.clone(), None, pass);
                run(y, &trained(&inputs, is_frozen), &[])
            });
            compare(&format!("{what}, a bias"), &kernels, || {
                let inputs = factors();
                let bias = vector(5, outputs, 1.0);
                let y = B::adapt(inputs.clone(), Some(bias.clone()), pass);
                run(y, &trained(&inputs, is_frozen), &[&bias])
            });
        }
    }
}

/// Input, weight and factors, without the weight where it is frozen.
fn trained(inputs: &[Tensor<B, 2>; 4], is_frozen: bool) -> Vec<&Tensor<B, 2>> {
    let is_trained = |(index, _): &(usize, _)| *index != 1 || !is_frozen;
    let inputs = inputs.iter().enumerate().filter(is_trained);
    inputs.map(|(_, input)| input).collect()
}

#[test]
fn rotation_equals_the_composed_one() {
    let _alone = alone();
    for (slots, heads, size) in [(1, 1, 2), (9, 3, 6), (130, 2, 64)] {
        let kernels = [Kernel::Rotate, Kernel::RotateBackward];
        compare(
            &format!("{slots} slots, {heads} heads of {size}"),
            &kernels,
            || {
                let x = matrix(1, [slots, heads * size], 1.0);
                let rotary = Rotary::new(size, 10_000.0, RotaryScaling::None);
                let positions: Vec<usize> = (0..slots).collect();
                let tables = rotary.tables::<B>(&positions, &FlexDevice);
                run(rotate(x.clone(), &tables), &[&x], &[])
            },
        );
    }
}

#[test]
fn cross_entropy_equals_the_composed_one() {
    let _alone = alone();
    let kernels = [Kernel::CrossEntropy, Kernel::CrossEntropyBackward];
    // Of classes that are as likely as each other, the first is the likeliest.
    for (rows, classes, scale) in [(1, 2, 1.0), (64, 3, 30.0), (37, 1000, 8.0), (7, 4, 0.0)] {
        let targets: Vec<i32> = (0..rows as i32).map(|i| i * 5 % classes as i32).collect();
        compare(&format!("[{rows}, {classes}] of {scale}"), &kernels, || {
            let logits = matrix(1, [rows, classes], scale);
            let targets = Tensor::<B, 1, Int>::from_data(targets.as_slice(), &FlexDevice);
            run(B::cross_entropy(logits.clone(), targets), &[&logits], &[])
        });
    }
}

fn step_of(count: u64, weight_decay: f64, gradient_scale: f64) -> AdamWStep {
    AdamWStep {
        learning_rate: 1e-2,
        weight_decay,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        gradient_scale,
        count,
    }
}

#[test]
fn updates_equal_the_composed_ones() {
    let _alone = alone();
    for length in [1, 5, 40_001] {
        for (gradient_scale, weight_decay) in [(1.0, 0.0), (0.3, 0.01)] {
            compare(&format!("{length} numbers"), &[Kernel::AdamW], || {
                let mut state = [1, 2, 3].map(|part| {
                    let values = numbers(part, if part == 1 { length } else { 0 }, 1.0);
                    if part == 1 {
                        Tensor::<Flex, 1>::from_data(values.as_slice(), &FlexDevice)
                    } else {
                        Tensor::zeros([length], &FlexDevice)
                    }
                });
                let first = state[0].clone();
                for count in 1..4 {
                    let gradient = vector(10 + count, length, 0.1).inner();
                    let step = step_of(count, weight_decay, gradient_scale);
                    state = Flex::adamw_update(state, gradient, &step);
                }
                // What somebody else holds is not touched.
                assert_eq!(values(first), numbers(1, length, 1.0));
                state.map(values).to_vec()
            });
        }
        compare(
            &format!("{length} numbers"),
            &[Kernel::SumOfSquares],
            || vec![values(Flex::sum_of_squares(vector(1, length, 1.0).inner()))],
        );
    }
}

#[test]
fn updates_of_a_table_equal_the_composed_ones_to_the_bit() {
    let _alone = alone();
    let width = 96;
    // The gradient of the second one is kept from step to step.
    for rows in [3_000, 44_000] {
        // Rows that are met in the first step alone, in later ones alone, in two steps, and never.
        let met = |step: usize| (0..40).map(move |at| (at * 7 + step / 2 * 1_000) % rows);
        for weight_decay in [0.0, 0.01] {
            let update = || {
                let table = matrix(1, [rows, width], 1.0).inner().flatten(0, 1);
                let zeros = || Tensor::zeros([rows * width], &FlexDevice);
                let mut state = [table, zeros(), zeros()];
                let mut norms = Vec::new();
                for count in 1..6 {
                    let gradient = gradient_of_rows([rows, width], met(count));
                    norms.extend(values(Flex::sum_of_squares(gradient.clone())));
                    let step = step_of(count as u64, weight_decay, 0.5);
                    // A checkpoint has them for a while, or they come from one.
                    let held = (count == 3).then(|| state.clone());
                    state = Flex::adamw_update(state, gradient, &step);
                    drop(held);
                }
                (state.map(values), norms)
            };
            let (kernel, norms) = update();
            set_kernels(false);
            let (composed, expected) = update();
            set_kernels(true);
            assert!(kernel == composed, "{rows} rows, decay {weight_decay}");
            for (norm, expected) in norms.iter().zip(&expected) {
                let difference = (norm - expected).abs();
                assert!(difference <= TOLERANCE * expected, "{norm}, not {expected}");
            }
        }
    }
}

/// The gradient of a table that these rows are looked up in, flattened.
fn gradient_of_rows(shape: [usize; 2], rows: impl Iterator<Item = usize>) -> Tensor<Flex, 1> {
    let ids: Vec<i32> = rows.map(|row| row as i32).collect();
    let weights = matrix(ids[0] as u64, [ids.len(), shape[1]], 0.1).inner();
    let ids = Tensor::<B, 1, Int>::from_data(ids.as_slice(), &FlexDevice);
    let table = Tensor::<B, 2>::zeros(shape, &FlexDevice).require_grad();
    let output = B::look_up(table.clone(), ids) * Tensor::from_inner(weights);
    let mut gradients = output.sum().backward();
    let gradient = table.grad_remove(&mut gradients);
    gradient.expect("rows were looked up").flatten(0, 1)
}

#[test]
fn a_transposed_view_is_read_as_it_is_seen() {
    let _alone = alone();
    compare("transposed", &[Kernel::Gelu, Kernel::Affine], || {
        let x = matrix(1, [6, 9], 1.0);
        let weight = matrix(2, [4, 6], 1.0);
        let bias = vector(3, 4, 1.0);
        let seen = B::gelu_exact(x.clone().transpose().slice([1..8, 0..6]));
        let y = B::affine(seen, weight.clone().transpose(), bias.clone());
        run(y, &[&x, &weight], &[&bias])
    });
}

#[test]
fn a_frozen_input_gets_no_gradient_and_others_do() {
    let _alone = alone();
    compare(
        "frozen",
        &[Kernel::AffineBackward, Kernel::NormalizeLayerBackward],
        || {
            let x = matrix(1, [6, 9], 1.0);
            let frozen = matrix(2, [9, 4], 1.0).detach();
            let bias = vector(3, 4, 1.0).detach();
            let scale = vector(4, 4, 1.0);
            let y = B::affine(x.clone(), frozen, bias.clone());
            run(
                B::normalize_layer(y, scale.clone(), bias, 1e-5),
                &[&x],
                &[&scale],
            )
        },
    );
}
