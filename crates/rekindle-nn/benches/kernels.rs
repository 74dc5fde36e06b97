//! Each kernel beside the composed operation, forward and backward, at the sizes of `MiniLM`'s block with
//! 16 rows of 128 tokens.
//!
//!     cargo bench -p rekindle-nn -- NAME

use std::hint::black_box;

use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use criterion::{Criterion, criterion_group, criterion_main};
use rekindle_nn::{
    AdamWStep, Dropout, Heads, Masks, Noise, Rotary, RotaryScaling, Rows, Sight, TrainBackend,
    rotate, set_kernels, uniform,
};

type B = Autodiff<Flex>;

/// As in the program: tensors of a step are large and short-lived.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 16;
const TOKENS: usize = 128;
const SLOTS: usize = ROWS * TOKENS;
const WIDTH: usize = 384;
const HEADS: usize = 12;
const INNER: usize = 1536;
const WORDS: usize = 8192;

const NOISE: Noise = Noise {
    seed: 5,
    step: 7,
    micro_batch: 0,
};

fn numbers(seed: u64, length: usize) -> Vec<f32> {
    let number = |index| uniform(seed, [1, index]) * 2.0 - 1.0;
    (0..length as u64).map(|it| number(it) as f32).collect()
}

fn matrix(seed: u64, shape: [usize; 2]) -> Tensor<B, 2> {
    let values = numbers(seed, shape[0] * shape[1]);
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice).require_grad()
}

fn vector(seed: u64, length: usize) -> Tensor<B, 1> {
    Tensor::from_data(numbers(seed, length).as_slice(), &FlexDevice).require_grad()
}

/// Times an operation and its gradients with kernels and without.
fn compare<const D: usize>(c: &mut Criterion, name: &str, compute: impl Fn() -> Tensor<B, D>) {
    let mut group = c.benchmark_group(name);
    for (way, is_on) in [("kernel", true), ("composed", false)] {
        set_kernels(is_on);
        group.bench_function(way, |bencher| {
            bencher.iter(|| black_box(compute().sum().backward()));
        });
    }
    group.finish();
    set_kernels(true);
}

fn attention(c: &mut Criterion) {
    let heads = Heads {
        queries: HEADS,
        keys: HEADS,
        size: WIDTH / HEADS,
        sight: Sight::Full,
    };
    let rows = Rows::ragged(vec![TOKENS; ROWS]).with_noise(NOISE);
    let qkv = [1, 2, 3].map(|seed| matrix(seed, [SLOTS, WIDTH]));
    let dropout = Dropout::new(0.1, 3);
    compare(c, "attention", || {
        B::attend(qkv.clone(), heads, &dropout, &rows, &Masks::default())
    });
    let rotary = Rotary::new(WIDTH / HEADS, 10_000.0, RotaryScaling::None);
    let positions: Vec<usize> = (0..SLOTS).map(|slot| slot % TOKENS).collect();
    let tables = rotary.tables::<B>(&positions, &FlexDevice);
    compare(c, "rotation", || rotate(qkv[0].clone(), &tables));
}

fn elements(c: &mut Criterion) {
    let (x, scale, shift) = (
        matrix(1, [SLOTS, WIDTH]),
        vector(2, WIDTH),
        vector(3, WIDTH),
    );
    compare(c, "layer norm", || {
        B::normalize_layer(x.clone(), scale.clone(), shift.clone(), 1e-12)
    });
    compare(c, "rms norm", || {
        B::normalize_rms(x.clone(), scale.clone(), 1e-6)
    });
    let [gate, up] = [4, 5].map(|seed| matrix(seed, [SLOTS, INNER]));
    compare(c, "gelu", || B::gelu_exact(gate.clone()));
    compare(c, "gelu by tanh", || B::gelu_tanh(gate.clone()));
    compare(c, "swiglu", || B::swiglu(gate.clone(), up.clone()));
    let dropout = Dropout::new(0.1, 9);
    compare(c, "dropout", || dropout.forward(x.clone(), Some(NOISE)));
}

fn tables(c: &mut Criterion) {
    let x = matrix(1, [SLOTS, WIDTH]);
    let (weight, bias) = (matrix(2, [WIDTH, INNER]), vector(3, INNER));
    compare(c, "linear", || {
        B::affine(x.clone(), weight.clone(), bias.clone())
    });
    let ids: Vec<i32> = (0..SLOTS as i32).map(|at| at * 31 % WORDS as i32).collect();
    let ids = Tensor::<B, 1, Int>::from_data(ids.as_slice(), &FlexDevice);
    let table = matrix(4, [WORDS, WIDTH]);
    compare(c, "embedding", || B::look_up(table.clone(), ids.clone()));
    let logits = matrix(5, [SLOTS / 8, WORDS]);
    let targets = ids.narrow(0, 0, SLOTS / 8);
    compare(c, "cross-entropy", || {
        B::cross_entropy_sum(logits.clone(), targets.clone())
    });
}

fn update(c: &mut Criterion) {
    let length = WORDS * WIDTH;
    let step = AdamWStep {
        learning_rate: 1e-4,
        weight_decay: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        gradient_scale: 0.5,
        count: 3,
    };
    let gradient = vector(2, length).inner();
    let mut group = c.benchmark_group("adamw");
    for (way, is_on) in [("kernel", true), ("composed", false)] {
        set_kernels(is_on);
        let mut state = [1, 3, 4].map(|seed| vector(seed, length).inner().abs());
        group.bench_function(way, |bencher| {
            bencher.iter(|| {
                let [weights, first, second] = &mut state;
                let taken = [weights, first, second]
                    .map(|part| std::mem::replace(part, Tensor::zeros([1], &FlexDevice)));
                state = Flex::adamw_update(taken, gradient.clone(), &step);
            });
        });
    }
    group.finish();
    set_kernels(true);
}

criterion_group!(kernels, attention, elements, tables, update);
criterion_main!(kernels);
