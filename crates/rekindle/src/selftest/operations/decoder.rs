//! What decoders and adapters add: RMS norm, SwiGLU, rotary positions, causal attention, LoRA.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Tensor};
use rekindle_nn::{
    Dropout, Heads, Linear, LoraAdapter, Masks, Rotary, RotaryScaling, Rows, Sight, rotate,
};
use rekindle_train::task::TrainableBackend;

use super::{ROUNDING, ROW_LENGTHS, tokens};
use crate::selftest::stored::Stored;
use crate::selftest::suite::Suite;
use crate::selftest::{WIDTH_MULTIPLE, What};

/// Room of a pack: the rows of 3 and 5 tokens share one, so that each could see the other.
const CAPACITY: usize = 8;

/// In which numbers an operation is measured.
#[derive(Clone, Copy)]
struct Numbers {
    dtype: DType,
    /// Largest deviation from what torch computed in f64.
    tolerance: f64,
    /// What is added to the names of checks.
    suffix: &'static str,
}

const F32: Numbers = Numbers {
    dtype: DType::F32,
    tolerance: ROUNDING,
    suffix: "",
};

/// Each number is rounded to 8 bits, that is by up to 2⁻⁹ of itself. An operation rounds its inputs, two or
/// three results on the way, and its output; a score near 30 is off by 0.1 before its exponential.
const BF16: Numbers = Numbers {
    dtype: DType::BF16,
    tolerance: 3e-2,
    suffix: ", bf16",
};

/// Measures the operations of decoders and adapters.
pub(super) fn measure<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    rms_norm::<B>(suite, stored, F32, device);
    let row = ("swiglu", What::Forward, ROUNDING);
    suite.operation::<B, 2>(row, &stored.case("swiglu"), device, |inputs| {
        let (gate, up) = (inputs.take(), inputs.take());
        B::swiglu(gate, up)
    });
    rotary::<B>(suite, stored, device);
    let ragged = Rows::ragged(ROW_LENGTHS.to_vec());
    let padded = Rows::padded(ROW_LENGTHS.to_vec(), WIDTH_MULTIPLE);
    let packs = rekindle_data::packs(&ROW_LENGTHS, CAPACITY);
    let packed = Rows::packed(ROW_LENGTHS.to_vec(), packs, WIDTH_MULTIPLE);
    for (word, rows) in [("ragged", ragged), ("padded", padded), ("packed", packed)] {
        for (name, window) in [("causal attention", None), ("window attention", Some(2))] {
            let name = format!("{name}, {word}");
            attention::<B>(suite, stored, (&name, window, F32), &rows, device);
        }
    }
    lora_linear::<B>(suite, stored, F32, device);
}

/// Measures in bf16 what most depends on how a device computes in it.
pub(in crate::selftest) fn measure_bf16<B: TrainableBackend>(
    suite: &mut Suite,
    device: &B::Device,
) {
    let stored = Stored::operations();
    rms_norm::<B>(suite, &stored, BF16, device);
    let rows = Rows::padded(ROW_LENGTHS.to_vec(), WIDTH_MULTIPLE);
    let of_attention = ("causal attention, bf16", None, BF16);
    attention::<B>(suite, &stored, of_attention, &rows, device);
    lora_linear::<B>(suite, &stored, BF16, device);
}

fn rms_norm<B: TrainableBackend>(
    suite: &mut Suite,
    stored: &Stored,
    numbers: Numbers,
    device: &B::Device,
) {
    let name = format!("rms_norm{}", numbers.suffix);
    let row = (name.as_str(), What::Forward, numbers.tolerance);
    suite.operation::<B, 2>(row, &stored.case("rms_norm"), device, |inputs| {
        let x = inputs.take().cast(numbers.dtype);
        let scale = inputs.take().cast(numbers.dtype);
        B::normalize_rms(x, scale, 1e-6).cast(DType::F32)
    });
}

fn rotary<B: TrainableBackend>(suite: &mut Suite, stored: &Stored, device: &B::Device) {
    let positions = Rows::ragged(ROW_LENGTHS.to_vec()).positions();
    let tables = Rotary::new(4, 100.0, RotaryScaling::None).tables::<B>(&positions, device);
    let row = ("rotary", What::Forward, ROUNDING);
    suite.operation::<B, 2>(row, &stored.case("rotary"), device, |inputs| {
        rotate(inputs.take(), &tables)
    });
}

/// Each two of four query heads share a key head.
fn attention<B: TrainableBackend>(
    suite: &mut Suite,
    stored: &Stored,
    (name, window, numbers): (&str, Option<usize>, Numbers),
    rows: &Rows,
    device: &B::Device,
) {
    let case = match window {
        None => stored.case("causal_attention"),
        Some(_) => stored.case("window_attention"),
    };
    let heads = Heads {
        queries: 4,
        keys: 2,
        size: 4,
        sight: Sight::Causal { window },
    };
    let row = (name, What::Forward, numbers.tolerance);
    suite.operation::<B, 2>(row, &case.placed(rows), device, |inputs| {
        let mut take = || inputs.take().cast(numbers.dtype);
        let qkv = [take(), take(), take()];
        let mixed = B::attend(qkv, heads, &Dropout::new(0.0, 0), rows, &Masks::default());
        mixed.select(0, tokens(rows, device)).cast(DType::F32)
    });
}

/// A frozen layer and its adapter: gradients reach the input and both factors.
fn lora_linear<B: TrainableBackend>(
    suite: &mut Suite,
    stored: &Stored,
    numbers: Numbers,
    device: &B::Device,
) {
    /// The scale in `reference.py`.
    const SCALE: f64 = 2.0;
    let mut case = stored.case("lora_linear");
    // Checkpoints hold the transposes of the layers' weights.
    for factor in &mut case.inputs[1..] {
        *factor = factor.transposed();
    }
    let [inputs, rank] = [0, 1].map(|side| case.inputs[1].value.shape[side]);
    let weight = stored.floats("lora_linear/in.3").transposed();
    let bias = stored.floats("lora_linear/in.4");
    let sizes = [inputs, bias.values.len()];
    let name = format!("lora linear{}", numbers.suffix);
    let row = (name.as_str(), What::Forward, numbers.tolerance);
    suite.operation::<B, 2>(row, &case, device, |inputs| {
        let x = inputs.take::<2>().cast(numbers.dtype);
        let mut factor = || parameter(inputs.take::<2>().cast(numbers.dtype));
        let dropout = Dropout::new(0.0, 0);
        let mut adapter = LoraAdapter::new(sizes, rank, SCALE, dropout, device);
        adapter.lora_a = factor();
        adapter.lora_b = factor();
        let weight = Tensor::<B, 2>::from_data(weight.data(), device);
        let bias = Tensor::<B, 1>::from_data(bias.data(), device);
        let linear = Linear {
            weight: parameter(weight.cast(numbers.dtype)),
            bias: Some(parameter(bias.cast(numbers.dtype))),
            adapter: Some(adapter),
        };
        linear.forward(x, None).cast(DType::F32)
    });
}

/// A parameter that is tracked if its tensor is.
fn parameter<B: TrainableBackend, const D: usize>(tensor: Tensor<B, D>) -> Param<Tensor<B, D>> {
    Param::initialized(ParamId::new(), tensor)
}
