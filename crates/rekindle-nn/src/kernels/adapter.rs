//! Linear layers that carry a low-rank adapter.
//!
//! The adapter's part is added where the layer's is written, both ways: its own products are small beside the
//! passes that adding them takes.

use burn_flex::{Flex, FlexTensor};

use super::dropout;
use super::gemm::{View, multiply, multiply_onto, product, straight};
use super::linear::{add_to_rows, sum_rows};
use super::numbers::{tensor, update};
use super::{Fused, Kernel};
use crate::noise::Factors;

/// Of an adapter, what is not a tensor.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) scale: f32,
    /// Of the elements of its input.
    pub(super) masks: Option<Factors>,
}

/// See [`super::Kernels::fused_adapt`].
pub(super) fn project(
    inputs: [FlexTensor; 4],
    needed: [bool; 4],
    settings: Settings,
) -> Fused<Flex, 4> {
    Kernel::Adapt.count();
    let (output, kept) = adapt(inputs, None, needed, settings);
    Fused::new(output, move |gradient, _| {
        Kernel::AdaptBackward.count();
        kept.gradients(gradient)
    })
}

/// See [`super::Kernels::fused_adapt_affine`].
pub(super) fn affine(
    [x, weight, a, b, bias]: [FlexTensor; 5],
    [to_x, to_weight, to_a, to_b, to_bias]: [bool; 5],
    settings: Settings,
) -> Fused<Flex, 5> {
    Kernel::Adapt.count();
    let needed = [to_x, to_weight, to_a, to_b];
    let (output, kept) = adapt([x, weight, a, b], Some(bias), needed, settings);
    Fused::new(output, move |gradient: FlexTensor, _| {
        Kernel::AdaptBackward.count();
        let to_bias = to_bias.then(|| sum_rows(gradient.clone()));
        let [to_x, to_weight, to_a, to_b] = kept.gradients(gradient);
        [to_x, to_weight, to_a, to_b, to_bias]
    })
}

/// What gradients are made of.
struct Kept {
    /// The layer's input, where its weight is trained.
    x: Option<FlexTensor>,
    weight: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    /// The adapter's input.
    dropped: FlexTensor,
    /// `s x A`.
    narrow: FlexTensor,
    needed: [bool; 4],
    settings: Settings,
}

/// `x W + s drop_out(x) A B`, and a bias.
fn adapt(
    inputs: [FlexTensor; 4],
    bias: Option<FlexTensor>,
    needed: [bool; 4],
    settings: Settings,
) -> (FlexTensor, Kept) {
    let [x, weight, a, b] = inputs.map(straight);
    let dropped = match settings.masks {
        Some(masks) => dropout::apply(x.clone(), masks),
        None => x.clone(),
    };
    let narrow = scaled_product(View::new(&dropped), View::new(&a), settings.scale);
    let mut output = multiply(View::new(&x), View::new(&weight));
    if let Some(bias) = bias {
        add_to_rows(&mut output, bias);
    }
    let output = multiply_onto(output, View::new(&narrow), View::new(&b));
    let shape = [View::new(&x).height(), View::new(&weight).width()];
    let kept = Kept {
        x: needed[1].then_some(x),
        weight,
        a,
        b,
        dropped,
        narrow,
        needed,
        settings,
    };
    (tensor(output, shape), kept)
}

impl Kept {
    /// The gradients of the input, the weight, and the adapter's factors.
    fn gradients(&self, gradient: FlexTensor) -> [Option<FlexTensor>; 4] {
        let gradient = straight(gradient);
        let up = View::new(&gradient);
        let [is_x, _, is_a, is_b] = self.needed;
        let to_weight = self
            .x
            .as_ref()
            .map(|x| product(View::new(x).transposed(), up));
        let to_b = is_b.then(|| product(View::new(&self.narrow).transposed(), up));
        let narrow = scaled_product(up, View::new(&self.b).transposed(), self.settings.scale);
        let narrow = View::new(&narrow);
        let to_a = is_a.then(|| product(View::new(&self.dropped).transposed(), narrow));
        let to_x = is_x.then(|| self.to_x(up, narrow));
        [to_x, to_weight, to_a, to_b]
    }

    /// The gradient of the input, of those of the output and of `x A`.
    fn to_x(&self, up: View<'_>, narrow: View<'_>) -> FlexTensor {
        let (weight, a) = (
            View::new(&self.weight).transposed(),
            View::new(&self.a).transposed(),
        );
        let shape = [up.height(), weight.width()];
        let layer = multiply(up, weight);
        let sum = match self.settings.masks {
            None => multiply_onto(layer, narrow, a),
            Some(masks) => {
                let adapter = dropout::apply(product(narrow, a), masks);
                let mut sum = layer;
                update(&mut sum, adapter.storage(), |layer, adapter| {
                    layer + adapter
                });
                sum
            }
        };
        tensor(sum, shape)
    }
}

/// `scale · left · right`, which is narrow.
fn scaled_product(left: View<'_>, right: View<'_>, scale: f32) -> FlexTensor {
    let mut product = multiply(left, right);
    for number in &mut product {
        *number *= scale;
    }
    tensor(product, [left.height(), right.width()])
}
