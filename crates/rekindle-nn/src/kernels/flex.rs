//! The kernels as those of the backend `Flex`.

use burn::tensor::{
    DType,
    ops::{FloatTensor, IntTensor},
};
use burn_flex::{Flex, FlexTensor};

use super::numbers::{Numbers, has_fused_multiply_add, own, tensor};
use super::{Fused, Kernels, Unary};
use super::{
    activation, adapter, attention, dropout, embedding, linear, loss, norm, optimizer, residual,
    rotary, switch, table,
};
use crate::noise::Factors;
use crate::{AdamWStep, AdapterPass, Dropout, Heads, Noise, Rows};

impl Kernels for Flex {
    fn are_ready(inputs: &[&FloatTensor<Self>]) -> bool {
        are_numbers(inputs)
    }

    fn fused_attend(
        qkv: [FloatTensor<Self>; 3],
        heads: Heads,
        dropout: &Dropout,
        rows: &Rows,
    ) -> Fused<Self, 3> {
        attention::attend(qkv, heads, dropout.factors(rows.noise()), rows)
    }

    fn fused_normalize_layer(inputs: [FloatTensor<Self>; 3], epsilon: f64) -> Fused<Self, 3> {
        let [x, scale, shift] = inputs;
        norm::layer(x, scale, shift, epsilon)
    }

    fn fused_normalize_rms([x, scale]: [FloatTensor<Self>; 2], epsilon: f64) -> Fused<Self, 2> {
        norm::rms(x, scale, epsilon)
    }

    fn fused_swiglu([gate, up]: [FloatTensor<Self>; 2]) -> Fused<Self, 2> {
        activation::swiglu(gate, up)
    }

    fn fused_unary([x]: [FloatTensor<Self>; 1], function: Unary) -> Fused<Self, 1> {
        activation::unary(x, function)
    }

    fn fused_drop_out(
        [x]: [FloatTensor<Self>; 1],
        dropout: &Dropout,
        noise: Noise,
    ) -> Fused<Self, 1> {
        let masks = dropout.factors(Some(noise));
        dropout::drop_out(x, masks.expect("the probability is above zero"))
    }

    fn fused_add(
        [x, branch]: [FloatTensor<Self>; 2],
        dropout: Option<(&Dropout, Noise)>,
    ) -> Fused<Self, 2> {
        residual::add(x, branch, masks(dropout))
    }

    fn fused_multiply(inputs: [FloatTensor<Self>; 2], needed: [bool; 2]) -> Fused<Self, 2> {
        linear::project(inputs, needed)
    }

    fn fused_affine(inputs: [FloatTensor<Self>; 3], needed: [bool; 3]) -> Fused<Self, 3> {
        linear::affine(inputs, needed)
    }

    fn fused_adapt(
        inputs: [FloatTensor<Self>; 4],
        needed: [bool; 4],
        pass: AdapterPass<'_>,
    ) -> Fused<Self, 4> {
        adapter::project(inputs, needed, settings(pass))
    }

    fn fused_adapt_affine(
        inputs: [FloatTensor<Self>; 5],
        needed: [bool; 5],
        pass: AdapterPass<'_>,
    ) -> Fused<Self, 5> {
        adapter::affine(inputs, needed, settings(pass))
    }

    fn fused_look_up([table]: [FloatTensor<Self>; 1], ids: IntTensor<Self>) -> Fused<Self, 1> {
        embedding::look_up(table, ids)
    }

    fn fused_rotate([x]: [FloatTensor<Self>; 1], tables: [FloatTensor<Self>; 2]) -> Fused<Self, 1> {
        rotary::rotate(x, tables)
    }

    fn fused_cross_entropy(
        [logits]: [FloatTensor<Self>; 1],
        targets: IntTensor<Self>,
    ) -> Fused<Self, 1> {
        loss::cross_entropy(logits, &targets)
    }
}

/// What a dropout multiplies by, where there is one.
fn masks(dropout: Option<(&Dropout, Noise)>) -> Option<Factors> {
    dropout.and_then(|(dropout, noise)| dropout.factors(Some(noise)))
}

fn settings(pass: AdapterPass<'_>) -> adapter::Settings {
    adapter::Settings {
        scale: pass.scale as f32,
        masks: masks(pass.dropout),
    }
}

/// Whether kernels take these tensors.
fn are_numbers(inputs: &[&FlexTensor]) -> bool {
    switch::is_on()
        && has_fused_multiply_add()
        && inputs.iter().all(|input| input.dtype() == DType::F32)
}

/// See [`crate::TrainBackend::adamw_update`].
pub(crate) fn adamw_update(
    state: [FlexTensor; 3],
    gradient: FlexTensor,
    step: &AdamWStep,
) -> [FlexTensor; 3] {
    let gradient = Numbers::new(gradient);
    let mut state = state.map(own);
    let is_written = table::written(gradient.tensor());
    let mut is_idle = is_written.as_ref().map(|_| {
        let [_, first, second] = &state;
        table::idle([first, second])
    });
    let numbers = state.each_mut().map(FlexTensor::storage_mut);
    let known = is_written.as_deref().zip(is_idle.as_deref_mut());
    optimizer::adamw(numbers, gradient.get(), known, step);
    if let Some(is_idle) = is_idle {
        let [_, first, second] = &state;
        table::keep_idle([first, second], is_idle);
    }
    table::take_back(gradient.into_tensor());
    state
}

/// See [`crate::TrainBackend::zeros`]; `Flex`'s own zeros are a copy of others.
pub(crate) fn zeros(length: usize) -> FlexTensor {
    tensor(vec![0.0; length], [length])
}

/// See [`crate::TrainBackend::sum_of_squares`].
pub(crate) fn sum_of_squares(x: FlexTensor) -> FlexTensor {
    let x = Numbers::new(x);
    let is_written = table::written(x.tensor());
    let sum = optimizer::sum_of_squares(x.get(), is_written.as_deref());
    tensor(vec![sum as f32], [1])
}
