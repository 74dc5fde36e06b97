//! Each kernel beside the composed operation, forward and backward, at the sizes of `MiniLM`'s block with
//! 16 rows of 128 tokens.
//!
//!     cargo bench -p rekindle-nn -- NAME
//!
//! Times are those of all threads together, so that a busy machine disturbs them little; wall time where that
//! is not told.

use std::cell::RefCell;
use std::hint::black_box;

use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use rekindle_nn::{
    Activation, AdamWStep, AdapterPass, Dropout, Heads, LayerNorm, Linear, Masks, Noise, Rotary,
    RotaryScaling, Rows, SelfAttention, TrainBackend, rotate, set_kernels, uniform,
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
const RANK: usize = 8;

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

/// Nanoseconds that the process has computed.
#[cfg(unix)]
fn processor_time() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds since the process began.
#[cfg(not(unix))]
fn processor_time() -> f64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e9
}

/// Processor time as Criterion measures.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = f64;
    type Value = f64;

    fn start(&self) -> f64 {
        processor_time()
    }

    fn end(&self, start: f64) -> f64 {
        processor_time() - start
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, nanoseconds: &f64) -> f64 {
        *nanoseconds
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

type Bench = Criterion<ProcessorTime>;

/// A block of an encoder.
struct Block {
    attention: SelfAttention<B>,
    linears: [Linear<B>; 3],
    norms: [LayerNorm<B>; 2],
}

impl Block {
    fn new() -> Self {
        let linear = |inputs, outputs, seed| {
            let mut linear = Linear::<B>::new(inputs, outputs, &FlexDevice);
            let weight = matrix(seed, [inputs, outputs]) * 0.05;
            linear.weight = burn::module::Param::from_tensor(weight.detach());
            linear
        };
        let mut attention = SelfAttention::new(WIDTH, HEADS, Dropout::new(0.1, 0), &FlexDevice);
        for (seed, projection) in attention.projections_mut().into_iter().enumerate() {
            *projection = linear(WIDTH, WIDTH, 10 + seed as u64);
        }
        Self {
            attention,
            linears: [
                linear(WIDTH, WIDTH, 1),
                linear(WIDTH, INNER, 2),
                linear(INNER, WIDTH, 3),
            ],
            norms: [(); 2].map(|()| LayerNorm::new(WIDTH, 1e-12, &FlexDevice)),
        }
    }

    fn forward(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let noise = rows.noise();
        let add = |x, branch, site| Dropout::new(0.1, site).add(x, branch, noise);
        let attended = self.attention.forward(x.clone(), rows);
        let attended = self.linears[0].forward(attended, noise);
        let x = self.norms[0].forward(add(x, attended, 1));
        let inner = self.linears[1].forward(x.clone(), noise);
        let inner = self.linears[2].forward(Activation::Gelu.forward(inner), noise);
        self.norms[1].forward(add(x, inner, 2))
    }
}

/// Times an operation and its gradients with kernels and without.
fn compare<const D: usize>(c: &mut Bench, name: &str, compute: impl Fn() -> Tensor<B, D>) {
    each_way(c, name, || compute().sum().backward());
}

/// Times code with kernels and without.
fn each_way<T>(c: &mut Bench, name: &str, code: impl Fn() -> T) {
    let mut group = c.benchmark_group(name);
    for (way, is_on) in [("kernel", true), ("composed", false)] {
        set_kernels(is_on);
        group.bench_function(way, |bencher| bencher.iter(|| black_box(code())));
    }
    group.finish();
    set_kernels(true);
}

fn attention(c: &mut Bench) {
    let heads = Heads::bidirectional(HEADS, WIDTH / HEADS);
    let rows = Rows::ragged(vec![TOKENS; ROWS]).with_noise(NOISE);
    let qkv = [1, 2, 3].map(|seed| matrix(seed, [SLOTS, WIDTH]));
    let dropout = Dropout::new(0.1, 3);
    compare(c, "attention", || {
        B::attend(qkv.clone(), heads, &dropout, &rows, &Masks::default())
    });
    let rotary = Rotary::new(WIDTH / HEADS, 10_000.0, RotaryScaling::None);
    let positions: Vec<usize> = (0..SLOTS).map(|slot| slot % TOKENS).collect();
    let tables = rotary.tables::<B>(&positions, &FlexDevice);
    let ragged: Vec<usize> = (0..64).map(|row| 10 + row * 7 % 31).collect();
    let short = [4, 5, 6].map(|seed| matrix(seed, [ragged.iter().sum(), WIDTH]));
    let ragged = Rows::ragged(ragged).with_noise(NOISE);
    compare(c, "attention of short rows", || {
        B::attend(short.clone(), heads, &dropout, &ragged, &Masks::default())
    });
    compare(c, "rotation", || rotate(qkv[0].clone(), &tables));
}

fn elements(c: &mut Bench) {
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
    let branch = matrix(6, [SLOTS, WIDTH]);
    compare(c, "residual sum", || {
        dropout.add(x.clone(), branch.clone(), Some(NOISE))
    });
}

fn tables(c: &mut Bench) {
    let x = matrix(1, [SLOTS, WIDTH]);
    let (weight, bias) = (matrix(2, [WIDTH, INNER]), vector(3, INNER));
    compare(c, "linear", || {
        B::affine(x.clone(), weight.clone(), bias.clone())
    });
    compare(c, "linear without a bias", || {
        B::multiply(x.clone(), weight.clone())
    });
    let adapter = [matrix(6, [WIDTH, RANK]), matrix(7, [RANK, INNER])];
    compare(c, "linear with an adapter", || {
        let [a, b] = adapter.clone();
        let pass = AdapterPass {
            scale: 2.0,
            dropout: None,
        };
        B::adapt(
            [x.clone(), weight.clone().detach(), a, b],
            Some(bias.clone().detach()),
            pass,
        )
    });
    let ids: Vec<i32> = (0..SLOTS as i32).map(|at| at * 31 % WORDS as i32).collect();
    let ids = Tensor::<B, 1, Int>::from_data(ids.as_slice(), &FlexDevice);
    let table = matrix(4, [WORDS, WIDTH]);
    compare(c, "embedding", || B::look_up(table.clone(), ids.clone()));
    let logits = matrix(5, [SLOTS / 8, WORDS]);
    let targets = ids.narrow(0, 0, SLOTS / 8);
    compare(c, "cross-entropy", || {
        B::cross_entropy(logits.clone(), targets.clone())
    });
}

fn update(c: &mut Bench) {
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
    let state = RefCell::new([1, 3, 4].map(|seed| vector(seed, length).inner().abs()));
    each_way(c, "adamw", || {
        let taken = state.replace([(); 3].map(|()| Tensor::zeros([1], &FlexDevice)));
        state.replace(Flex::adamw_update(taken, gradient.clone(), &step));
    });
    each_way(c, "sum of squares", || {
        Flex::sum_of_squares(gradient.clone()).into_data()
    });
}

fn block(c: &mut Bench) {
    let (block, x) = (Block::new(), matrix(8, [SLOTS, WIDTH]));
    let rows = Rows::ragged(vec![TOKENS; ROWS]).with_noise(NOISE);
    compare(c, "block", || block.forward(x.clone(), &rows));
}

criterion_group! {
    name = kernels;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = block, attention, elements, tables, update
}
criterion_main!(kernels);
