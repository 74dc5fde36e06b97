//! Elementwise functions.

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{Numbers, dims, map, own, tensor, update, vectorized, zeros};
use super::{Fused, Kernel, Unary, math};

/// Numbers that one task of a function of two inputs works on.
const TASK: usize = 1 << 13;

/// See [`super::Kernels::fused_unary`].
pub(super) fn unary(x: FlexTensor, function: Unary) -> Fused<Flex, 1> {
    Kernel::Gelu.count();
    let shape = x.layout().shape().clone();
    let x = Numbers::new(x);
    let output = match function {
        Unary::GeluExact => map(x.get(), |x| x * math::normal(x)[0]),
        Unary::GeluTanh => map(x.get(), |x| x * math::sigmoid(tanh_argument(x)[0])),
    };
    Fused::new(tensor(output, shape), move |gradient, _| {
        Kernel::GeluBackward.count();
        let mut gradient = own(gradient);
        let numbers = gradient.storage_mut();
        match function {
            Unary::GeluExact => update(numbers, x.get(), |gradient, x| {
                let [below, density] = math::normal(x);
                gradient * x.mul_add(density, below)
            }),
            Unary::GeluTanh => update(numbers, x.get(), |gradient, x| {
                let [argument, slope] = tanh_argument(x);
                let sigmoid = math::sigmoid(argument);
                gradient * (x * slope * (1.0 - sigmoid)).mul_add(sigmoid, sigmoid)
            }),
        }
        [Some(gradient)]
    })
}

/// GELU by a hyperbolic tangent is `x sigmoid(2 √(2/π) (x + 0.044715 x³))`; the argument and its slope.
#[inline(always)]
fn tanh_argument(x: f32) -> [f32; 2] {
    /// `2 √(2/π)`.
    const SCALE: f32 = 1.595_769;
    const CUBIC: f32 = 0.044_715;
    let square = x * x;
    [
        SCALE * x * square.mul_add(CUBIC, 1.0),
        SCALE * square.mul_add(3.0 * CUBIC, 1.0),
    ]
}

/// See [`super::Kernels::fused_swiglu`].
pub(super) fn swiglu(gate: FlexTensor, up: FlexTensor) -> Fused<Flex, 2> {
    Kernel::Swiglu.count();
    let shape: [usize; 2] = dims(&gate);
    let (gate, up) = (Numbers::new(gate), Numbers::new(up));
    let mut output = zeros(gate.get().len());
    output
        .par_chunks_mut(TASK)
        .zip(gate.get().par_chunks(TASK))
        .zip(up.get().par_chunks(TASK))
        .for_each(|((output, gate), up)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
                        *output = gate * math::sigmoid(*gate) * up;
                    }
                },
            );
        });
    Fused::new(tensor(output, shape), move |gradient, _| {
        Kernel::SwigluBackward.count();
        let mut to_up = own(gradient);
        let mut to_gate = zeros(gate.get().len());
        to_up
            .storage_mut::<f32>()
            .par_chunks_mut(TASK)
            .zip(to_gate.par_chunks_mut(TASK))
            .zip(gate.get().par_chunks(TASK))
            .zip(up.get().par_chunks(TASK))
            .for_each(|(((to_up, to_gate), gate), up)| {
                vectorized(
                    #[inline(always)]
                    || {
                        let inputs = gate.iter().zip(up);
                        let outputs = to_up.iter_mut().zip(to_gate);
                        for ((to_up, to_gate), (gate, up)) in outputs.zip(inputs) {
                            let sigmoid = math::sigmoid(*gate);
                            let slope = (gate * (1.0 - sigmoid)).mul_add(sigmoid, sigmoid);
                            *to_gate = *to_up * up * slope;
                            *to_up *= gate * sigmoid;
                        }
                    },
                );
            });
        [Some(tensor(to_gate, shape)), Some(to_up)]
    })
}
