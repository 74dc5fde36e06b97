//! What kernels save: processor time of a forward and a backward pass, composed and with kernels.
//!
//! `cargo run --release -p rekindle-nn --example kernels [REPETITIONS]` prints milliseconds of all threads
//! together, so that a busy machine disturbs it little; wall time where that is not told.

use std::error::Error;
use std::io::{self, Write};

use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use rekindle_nn::{
    Activation, AdamWStep, Dropout, Heads, LayerNorm, Linear, Masks, Noise, Rows, SelfAttention,
    TrainBackend, set_kernels, uniform,
};

type B = Autodiff<Flex>;

/// That of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOISE: Noise = Noise {
    seed: 1,
    step: 1,
    micro_batch: 0,
};

/// A width of hidden states, and the rows that they come in.
struct Size {
    name: &'static str,
    width: usize,
    heads: usize,
    rows: Rows,
}

/// A block of an encoder.
struct Block {
    attention: SelfAttention<B>,
    linears: [Linear<B>; 3],
    norms: [LayerNorm<B>; 2],
}

impl Block {
    fn new(size: &Size) -> Self {
        let linear = |inputs, outputs, seed| {
            let mut linear = Linear::<B>::new(inputs, outputs, &FlexDevice);
            let weight = random([inputs, outputs], seed) * 0.05;
            linear.weight = burn::module::Param::from_tensor(weight.detach());
            linear
        };
        let inner = 4 * size.width;
        let mut attention =
            SelfAttention::new(size.width, size.heads, Dropout::new(0.1, 0), &FlexDevice);
        for (seed, projection) in attention.projections_mut().into_iter().enumerate() {
            *projection = linear(size.width, size.width, 10 + seed as u64);
        }
        Self {
            attention,
            linears: [
                linear(size.width, size.width, 1),
                linear(size.width, inner, 2),
                linear(inner, size.width, 3),
            ],
            norms: [(); 2].map(|()| LayerNorm::new(size.width, 1e-12, &FlexDevice)),
        }
    }

    fn forward(&self, x: Tensor<B, 2>, rows: &Rows) -> Tensor<B, 2> {
        let noise = rows.noise();
        let drop = |x, site| Dropout::new(0.1, site).forward(x, noise);
        let attended = self.attention.forward(x.clone(), rows);
        let attended = self.linears[0].forward(attended, noise);
        let x = self.norms[0].forward(drop(attended, 1) + x);
        let inner = self.linears[1].forward(x.clone(), noise);
        let inner = self.linears[2].forward(Activation::Gelu.forward(inner), noise);
        self.norms[1].forward(drop(inner, 2) + x)
    }
}

fn random(shape: [usize; 2], seed: u64) -> Tensor<B, 2> {
    let number = |index| (uniform(seed, [2, index]) * 2.0 - 1.0) as f32;
    let values: Vec<f32> = (0..(shape[0] * shape[1]) as u64).map(number).collect();
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice).require_grad()
}

/// Milliseconds that the process has computed.
#[cfg(unix)]
fn processor_time() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Milliseconds since the process began.
#[cfg(not(unix))]
fn processor_time() -> f64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e3
}

fn measure(name: &str, repetitions: usize, step: impl Fn()) -> Result<(), Box<dyn Error>> {
    let [mut composed, mut kernels] = [f64::INFINITY; 2];
    for _ in 0..repetitions {
        for (are_on, best) in [(false, &mut composed), (true, &mut kernels)] {
            set_kernels(are_on);
            let before = processor_time();
            step();
            *best = best.min(processor_time() - before);
        }
    }
    let ratio = kernels / composed;
    writeln!(
        io::stdout(),
        "{name:<28} {composed:>9.2} {kernels:>9.2} {ratio:>7.2}"
    )?;
    Ok(())
}

/// Runs back from the weighted sum of an output.
fn back(output: Tensor<B, 2>, weights: &Tensor<B, 2>) {
    let _ = (output * weights.clone()).sum().backward();
}

fn operations(size: &Size, repetitions: usize) -> Result<(), Box<dyn Error>> {
    let (slots, width, inner) = (size.rows.num_slots(), size.width, 4 * size.width);
    let [q, k, v] = [1, 2, 3].map(|seed| random([slots, width], seed));
    let [hidden, other] = [4, 5].map(|seed| random([slots, inner], seed));
    let [narrow, wide] =
        [(6, width), (7, inner)].map(|(seed, width)| random([slots, width], seed).detach());
    let heads = Heads::bidirectional(size.heads, width / size.heads);
    let norm = LayerNorm::<B>::new(width, 1e-12, &FlexDevice);
    let linear = Linear::<B>::new(width, inner, &FlexDevice);
    measure("  attention", repetitions, || {
        let dropout = Dropout::new(0.1, 0);
        back(
            B::attend(
                [q.clone(), k.clone(), v.clone()],
                heads,
                &dropout,
                &size.rows,
                &Masks::default(),
            ),
            &narrow,
        );
    })?;
    measure("  gelu", repetitions, || {
        back(B::gelu_exact(hidden.clone()), &wide);
    })?;
    measure("  swiglu", repetitions, || {
        back(B::swiglu(hidden.clone(), other.clone()), &wide);
    })?;
    measure("  layer norm", repetitions, || {
        back(norm.forward(q.clone()), &narrow);
    })?;
    measure("  dropout", repetitions, || {
        back(
            Dropout::new(0.1, 0).forward(q.clone(), Some(NOISE)),
            &narrow,
        );
    })?;
    measure("  linear, 4 times wider", repetitions, || {
        back(linear.forward(q.clone(), None), &wide);
    })?;
    measure("  (the loss of these)", repetitions, || {
        back(hidden.clone(), &wide);
    })
}

/// The embedding of 30,522 words: their look-up, a step of the optimizer and the norm.
fn table(size: &Size, repetitions: usize) -> Result<(), Box<dyn Error>> {
    let (ids, length) = (30_522, 30_522 * size.width);
    let words = random([ids, size.width], 1);
    let slots = size.rows.num_slots();
    let chosen: Vec<i32> = (0..slots as i32)
        .map(|slot| slot * 37 % ids as i32)
        .collect();
    let chosen = Tensor::<B, 1, Int>::from_data(chosen.as_slice(), &FlexDevice);
    let weights = random([slots, size.width], 2).detach();
    measure("  embedding", repetitions, || {
        back(B::look_up(words.clone(), chosen.clone()), &weights);
    })?;
    let flat = || words.clone().inner().reshape([length]);
    let state = std::cell::RefCell::new([(); 3].map(|()| Tensor::zeros([length], &FlexDevice)));
    measure("  step of its optimizer", repetitions, || {
        let step = AdamWStep {
            learning_rate: 1e-4,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_scale: 0.5,
            count: 3,
        };
        let old = state.replace([(); 3].map(|()| Tensor::zeros([1], &FlexDevice)));
        state.replace(Flex::adamw_update(old, flat(), &step));
    })?;
    measure("  norm of its gradient", repetitions, || {
        let _ = Flex::sum_of_squares(flat()).into_data();
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let repetitions = std::env::args()
        .nth(1)
        .map_or(Ok(10), |number| number.parse())?;
    let ragged = (0..64).map(|row| 10 + row * 7 % 31).collect();
    let sizes = [
        Size {
            name: "192 wide, 64 ragged rows",
            width: 192,
            heads: 4,
            rows: Rows::ragged(ragged).with_noise(NOISE),
        },
        Size {
            name: "384 wide, 16 x 128 tokens",
            width: 384,
            heads: 12,
            rows: Rows::ragged(vec![128; 16]).with_noise(NOISE),
        },
    ];
    writeln!(
        io::stdout(),
        "{:<28} {:>9} {:>9} {:>7}",
        "",
        "composed",
        "kernels",
        "ratio"
    )?;
    for size in sizes {
        writeln!(
            io::stdout(),
            "{}, {} tokens",
            size.name,
            size.rows.num_slots()
        )?;
        let block = Block::new(&size);
        let x = random([size.rows.num_slots(), size.width], 8);
        let weights = random([size.rows.num_slots(), size.width], 9).detach();
        measure("  block, there and back", repetitions, || {
            back(block.forward(x.clone(), &size.rows), &weights);
        })?;
        operations(&size, repetitions)?;
        table(&size, repetitions)?;
    }
    Ok(())
}
