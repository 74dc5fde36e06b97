//! Hand-written kernels for CPUs: forward and backward passes in one multi-threaded sweep each.
//!
//! A kernel equals the composed operation of the same name up to rounding, and gives the same numbers from
//! run to run: sums are made of parts whose bounds do not depend on threads. Products of large matrices are
//! those of the crate `gemm`.
#![allow(
    clippy::inline_always,
    reason = "a body is compiled for an instruction set only where it is inlined into the dispatch"
)]

mod activation;
mod adapter;
mod attention;
mod awake;
mod dropout;
mod embedding;
mod flex;
mod gemm;
mod linear;
mod loss;
mod math;
mod norm;
mod numbers;
mod optimizer;
mod product;
mod residual;
mod rotary;
mod switch;
mod table;
mod transpose;

use std::fmt;
use std::sync::Arc;

use burn::tensor::{
    backend::Backend,
    ops::{FloatTensor, IntTensor},
};

use crate::{AdapterPass, Dropout, Heads, Noise, Rows};

pub use awake::Awake;
pub(crate) use flex::{adamw_update, sum_of_squares, zeros};
pub use switch::{Kernel, kernel_calls, set_kernels};

/// The output of a kernel, and the way of gradients through it.
#[derive(Debug)]
pub struct Fused<B: Backend, const N: usize> {
    pub(crate) output: FloatTensor<B>,
    pub(crate) pullback: Pullback<B, N>,
}

/// From the gradient of an output to those of the inputs that need one.
#[derive(Clone)]
pub(crate) struct Pullback<B: Backend, const N: usize>(Arc<PullbackFn<B, N>>);

type PullbackFn<B, const N: usize> =
    dyn Fn(FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N] + Send + Sync;

impl<B: Backend, const N: usize> Fused<B, N> {
    fn new(
        output: FloatTensor<B>,
        pullback: impl Fn(FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N]
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            output,
            pullback: Pullback(Arc::new(pullback)),
        }
    }
}

impl<B: Backend, const N: usize> Pullback<B, N> {
    pub(crate) fn call(
        &self,
        gradient: FloatTensor<B>,
        needed: [bool; N],
    ) -> [Option<FloatTensor<B>>; N] {
        (self.0)(gradient, needed)
    }
}

impl<B: Backend, const N: usize> fmt::Debug for Pullback<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pullback")
    }
}

/// Elementwise functions of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// GELU with the exact error function.
    GeluExact,
    /// GELU by a hyperbolic tangent.
    GeluTanh,
}

/// A backend's kernels; the shapes are those of [`crate::TrainBackend`]'s methods of the same names.
///
/// None is called unless [`Kernels::are_ready`].
pub trait Kernels: Backend {
    /// Whether these inputs are taken: the backend has kernels, they are switched on, and all inputs
    /// are in f32.
    fn are_ready(_inputs: &[&FloatTensor<Self>]) -> bool {
        false
    }

    /// Attention.
    fn fused_attend(
        _qkv: [FloatTensor<Self>; 3],
        _heads: Heads,
        _dropout: &Dropout,
        _rows: &Rows,
    ) -> Fused<Self, 3> {
        unreachable!("no kernel is ready")
    }

    /// Layer normalization of an input by a scale and a shift.
    fn fused_normalize_layer(_inputs: [FloatTensor<Self>; 3], _epsilon: f64) -> Fused<Self, 3> {
        unreachable!("no kernel is ready")
    }

    /// Root mean square normalization of an input by a scale.
    fn fused_normalize_rms(_inputs: [FloatTensor<Self>; 2], _epsilon: f64) -> Fused<Self, 2> {
        unreachable!("no kernel is ready")
    }

    /// A gate and what it lets through.
    fn fused_swiglu(_inputs: [FloatTensor<Self>; 2]) -> Fused<Self, 2> {
        unreachable!("no kernel is ready")
    }

    /// An elementwise function.
    fn fused_unary(_inputs: [FloatTensor<Self>; 1], _function: Unary) -> Fused<Self, 1> {
        unreachable!("no kernel is ready")
    }

    /// Dropout of a probability above zero.
    fn fused_drop_out(
        _inputs: [FloatTensor<Self>; 1],
        _dropout: &Dropout,
        _noise: Noise,
    ) -> Fused<Self, 1> {
        unreachable!("no kernel is ready")
    }

    /// What goes around a layer and what comes out of it, of which elements are dropped.
    fn fused_add(
        _inputs: [FloatTensor<Self>; 2],
        _dropout: Option<(&Dropout, Noise)>,
    ) -> Fused<Self, 2> {
        unreachable!("no kernel is ready")
    }

    /// An input by a weight; of those that need no gradient, the other is not kept.
    fn fused_multiply(_inputs: [FloatTensor<Self>; 2], _needed: [bool; 2]) -> Fused<Self, 2> {
        unreachable!("no kernel is ready")
    }

    /// An input by a weight, and a bias.
    fn fused_affine(_inputs: [FloatTensor<Self>; 3], _needed: [bool; 3]) -> Fused<Self, 3> {
        unreachable!("no kernel is ready")
    }

    /// An input by a weight, and by an adapter's two factors.
    fn fused_adapt(
        _inputs: [FloatTensor<Self>; 4],
        _needed: [bool; 4],
        _pass: AdapterPass<'_>,
    ) -> Fused<Self, 4> {
        unreachable!("no kernel is ready")
    }

    /// An input by a weight and by an adapter's two factors, and a bias.
    fn fused_adapt_affine(
        _inputs: [FloatTensor<Self>; 5],
        _needed: [bool; 5],
        _pass: AdapterPass<'_>,
    ) -> Fused<Self, 5> {
        unreachable!("no kernel is ready")
    }

    /// Rows of a table.
    fn fused_look_up(_inputs: [FloatTensor<Self>; 1], _ids: IntTensor<Self>) -> Fused<Self, 1> {
        unreachable!("no kernel is ready")
    }

    /// Heads turned by angles, given as their cosines and sines.
    fn fused_rotate(
        _inputs: [FloatTensor<Self>; 1],
        _tables: [FloatTensor<Self>; 2],
    ) -> Fused<Self, 1> {
        unreachable!("no kernel is ready")
    }

    /// Cross-entropy of each row of logits, and whether its target is the likeliest.
    fn fused_cross_entropy(
        _inputs: [FloatTensor<Self>; 1],
        _targets: IntTensor<Self>,
    ) -> Fused<Self, 1> {
        unreachable!("no kernel is ready")
    }
}
