//! The operations that dominate training, as an extension of Burn's backends.
//!
//! Layers call these instead of composing tensors themselves, so that a backend can bring a kernel for
//! one of them without any model knowing. Where it has none, an operation is the composed version in
//! `composed.rs`: right on every backend, differentiated by Burn, fused by `CubeCL` on GPUs.

use burn::tensor::{
    DType, Int, Tensor, TensorPrimitive,
    backend::Backend,
    ops::{FloatTensor, IntTensor},
};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn_flex::Flex;
use burn_fusion::{Fusion, FusionBackend};
use burn_ndarray::NdArray;

use crate::kernels::{self, Awake, Fused, Kernels, Unary};
use crate::{Dropout, Heads, Masks, Noise, Rows, composed, graph};

/// A backend that models can be trained on.
pub trait TrainBackend: Kernels {
    /// The backend that computes: itself, or the one whose operations are recorded for gradients.
    type Plain: Kernels;

    /// The tensor of [`TrainBackend::Plain`].
    fn plain(tensor: &FloatTensor<Self>) -> &FloatTensor<Self::Plain>;

    /// The tensor of [`TrainBackend::Plain`].
    fn plain_int(tensor: IntTensor<Self>) -> IntTensor<Self::Plain>;

    /// Runs a kernel, and records its way back where that is wanted; the kernel is told of which inputs
    /// gradients will be asked.
    fn fuse<const N: usize>(
        inputs: [FloatTensor<Self>; N],
        kernel: impl FnOnce([FloatTensor<Self::Plain>; N], [bool; N]) -> Fused<Self::Plain, N>,
    ) -> FloatTensor<Self>;

    /// Held while operations follow one another; see [`Awake`].
    fn awake() -> Option<Awake> {
        None
    }

    /// Softmax attention within rows, `softmax(q kᵀ / √c) v` per head of size `c` (Vaswani et al., 2017).
    ///
    /// # Shapes
    /// - q, output: `[N, H·C]`, heads side by side; `[R, H·C]` with [`crate::Sight::FromFirst`]
    /// - k, v: `[N, K·C]`; query head `h` reads key head `h / (H/K)`
    ///
    /// `masks` are those of the batch, the same for all of its blocks.
    fn attend(
        qkv: [Tensor<Self, 2>; 3],
        heads: Heads,
        dropout: &Dropout,
        rows: &Rows,
        masks: &Masks<Self>,
    ) -> Tensor<Self, 2> {
        fused(
            qkv,
            |qkv| Self::Plain::fused_attend(qkv, heads, dropout, rows),
            |qkv| composed::attend(qkv, heads, dropout, rows, masks),
        )
    }

    /// Layer normalization of each row with the biased variance.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`; scale, shift: `[D]`
    fn normalize_layer(
        x: Tensor<Self, 2>,
        scale: Tensor<Self, 1>,
        shift: Tensor<Self, 1>,
        epsilon: f64,
    ) -> Tensor<Self, 2> {
        let inputs = [primitive(x), primitive(scale), primitive(shift)];
        match ready::<Self, 3>(inputs) {
            Ok(inputs) => tensor(Self::fuse(inputs, |inputs, _| {
                Self::Plain::fused_normalize_layer(inputs, epsilon)
            })),
            Err([x, scale, shift]) => {
                composed::normalize_layer(tensor(x), tensor(scale), tensor(shift), epsilon)
            }
        }
    }

    /// Division of each row by its root mean square (Zhang and Sennrich, 2019), computed in f32.
    ///
    /// # Shapes
    /// - x, output: `[N, D]`; scale: `[D]`
    fn normalize_rms(x: Tensor<Self, 2>, scale: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 2> {
        match ready::<Self, 2>([primitive(x), primitive(scale)]) {
            Ok(inputs) => tensor(Self::fuse(inputs, |inputs, _| {
                Self::Plain::fused_normalize_rms(inputs, epsilon)
            })),
            Err([x, scale]) => composed::normalize_rms(tensor(x), tensor(scale), epsilon),
        }
    }

    /// `silu(gate) up`, the gated unit of Llama's feed-forward layers (Shazeer, 2020).
    fn swiglu(gate: Tensor<Self, 2>, up: Tensor<Self, 2>) -> Tensor<Self, 2> {
        fused([gate, up], Self::Plain::fused_swiglu, |[gate, up]| {
            composed::swiglu(gate, up)
        })
    }

    /// `x Φ(x)` with the exact error function, its gradient exact as well.
    fn gelu_exact(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        fused(
            [x],
            |x| Self::Plain::fused_unary(x, Unary::GeluExact),
            |[x]| composed::gelu_exact(x),
        )
    }

    /// The approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel, 2016).
    fn gelu_tanh(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        fused(
            [x],
            |x| Self::Plain::fused_unary(x, Unary::GeluTanh),
            |[x]| composed::gelu_tanh(x),
        )
    }

    /// Zeroes elements by the masks of a dropout of a probability above zero; see [`Dropout::forward`].
    fn drop_out<const D: usize>(
        x: Tensor<Self, D>,
        dropout: &Dropout,
        noise: Noise,
    ) -> Tensor<Self, D> {
        fused(
            [x],
            |x| Self::Plain::fused_drop_out(x, dropout, noise),
            |[x]| dropout.compose(x, Some(noise)),
        )
    }

    /// `x + drop_out(branch)`, the sum around a layer; nothing is dropped where no dropout of a probability
    /// above zero is given.
    ///
    /// # Shapes
    /// - x, branch, output: `[N, D]`
    fn add(
        x: Tensor<Self, 2>,
        branch: Tensor<Self, 2>,
        dropout: Option<(&Dropout, Noise)>,
    ) -> Tensor<Self, 2> {
        fused(
            [x, branch],
            |inputs| Self::Plain::fused_add(inputs, dropout),
            |[x, branch]| composed::add(x, branch, dropout),
        )
    }

    /// `x W`.
    ///
    /// # Shapes
    /// - x: `[N, inputs]`; weight: `[inputs, outputs]`; output: `[N, outputs]`
    fn multiply(x: Tensor<Self, 2>, weight: Tensor<Self, 2>) -> Tensor<Self, 2> {
        match ready::<Self, 2>([x, weight].map(primitive)) {
            Ok(inputs) => tensor(Self::fuse(inputs, Self::Plain::fused_multiply)),
            Err(inputs) => {
                let [x, weight] = inputs.map(tensor);
                x.matmul(weight)
            }
        }
    }

    /// `x W + b`.
    ///
    /// # Shapes
    /// - x: `[N, inputs]`; weight: `[inputs, outputs]`; bias: `[outputs]`; output: `[N, outputs]`
    fn affine(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
    ) -> Tensor<Self, 2> {
        match ready::<Self, 3>([primitive(x), primitive(weight), primitive(bias)]) {
            Ok(inputs) => tensor(Self::fuse(inputs, Self::Plain::fused_affine)),
            Err([x, weight, bias]) => composed::affine(tensor(x), tensor(weight), tensor(bias)),
        }
    }

    /// `x W + b + s drop_out(x) A B`, a linear layer that carries a low-rank adapter (Hu et al., 2021).
    ///
    /// # Shapes
    /// - inputs: x, `[N, inputs]`; weight, `[inputs, outputs]`; A, `[inputs, rank]`; B, `[rank, outputs]`
    /// - bias: `[outputs]`; output: `[N, outputs]`
    fn adapt(
        inputs: [Tensor<Self, 2>; 4],
        bias: Option<Tensor<Self, 1>>,
        pass: AdapterPass<'_>,
    ) -> Tensor<Self, 2> {
        let inputs = match ready::<Self, 4>(inputs.map(primitive)) {
            Ok(inputs) => inputs,
            Err(inputs) => return composed::adapt(inputs.map(tensor), bias, pass),
        };
        tensor(match bias {
            Some(bias) => {
                let [x, weight, a, b] = inputs;
                let inputs = [x, weight, a, b, primitive(bias)];
                Self::fuse(inputs, |inputs, needed| {
                    Self::Plain::fused_adapt_affine(inputs, needed, pass)
                })
            }
            None => Self::fuse(inputs, |inputs, needed| {
                Self::Plain::fused_adapt(inputs, needed, pass)
            }),
        })
    }

    /// The rows of a table with these ids.
    ///
    /// # Shapes
    /// - table: `[ids, D]`; ids: `[N]`; output: `[N, D]`
    fn look_up(table: Tensor<Self, 2>, ids: Tensor<Self, 1, Int>) -> Tensor<Self, 2> {
        let kernel_ids = Self::plain_int(ids.clone().into_primitive());
        fused(
            [table],
            |table| Self::Plain::fused_look_up(table, kernel_ids),
            |[table]| table.select(0, ids),
        )
    }

    /// Heads turned by the angles of their slots; see [`crate::rotate`].
    ///
    /// # Shapes
    /// - x, output: `[N, H·C]`
    /// - tables: `[N, C/2]` each, not differentiated
    fn rotate(x: Tensor<Self, 2>, tables: &[Tensor<Self, 2>; 2]) -> Tensor<Self, 2> {
        let plain = |table: &Tensor<Self, 2>| Self::plain(&primitive(table.clone())).clone();
        fused(
            [x],
            |x| Self::Plain::fused_rotate(x, tables.each_ref().map(plain)),
            |[x]| composed::rotate(x, tables),
        )
    }

    /// Of each row, `-log softmax(logits)[target]` in nats, and 1 where its target is the likeliest class,
    /// else 0, which is not differentiated.
    ///
    /// # Shapes
    /// - logits: `[N, V]`; targets: `[N]`; output: `[N, 2]`
    fn cross_entropy(logits: Tensor<Self, 2>, targets: Tensor<Self, 1, Int>) -> Tensor<Self, 2> {
        match ready::<Self, 1>([primitive(logits)]) {
            Ok(logits) => {
                let targets = Self::plain_int(targets.into_primitive());
                tensor(Self::fuse(logits, |logits, _| {
                    Self::Plain::fused_cross_entropy(logits, targets)
                }))
            }
            Err([logits]) => composed::cross_entropy(tensor(logits), targets),
        }
    }

    /// `Σ x²`, the same from run to run; not differentiated.
    ///
    /// # Shapes
    /// - output: `[1]`
    fn sum_of_squares(x: Tensor<Self, 1>) -> Tensor<Self, 1> {
        composed::sum_of_squares(x)
    }

    /// `[length]` zeros, for which memory is taken when they are written where the backend can do so.
    fn zeros(length: usize, device: &Self::Device) -> Tensor<Self, 1> {
        Tensor::zeros([length], (device, DType::F32))
    }

    /// One `AdamW` update (Loshchilov and Hutter, 2019), as `torch.optim.AdamW` computes it; not
    /// differentiated.
    ///
    /// Takes and returns parameter, first and second moment; all of one length. What nobody else holds
    /// is updated in place where the backend can.
    fn adamw_update(
        state: [Tensor<Self, 1>; 3],
        gradient: Tensor<Self, 1>,
        step: &AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        composed::adamw_update(state, gradient, step)
    }
}

/// Runs a kernel where one is ready for the inputs, else the composed operation.
fn fused<B: TrainBackend, const N: usize, const D: usize>(
    inputs: [Tensor<B, D>; N],
    kernel: impl FnOnce([FloatTensor<B::Plain>; N]) -> Fused<B::Plain, N>,
    composed: impl FnOnce([Tensor<B, D>; N]) -> Tensor<B, D>,
) -> Tensor<B, D> {
    match ready::<B, N>(inputs.map(primitive)) {
        Ok(inputs) => tensor(B::fuse(inputs, |inputs, _| kernel(inputs))),
        Err(inputs) => composed(inputs.map(tensor)),
    }
}

/// The inputs, as an error where no kernel is ready for them.
fn ready<B: TrainBackend, const N: usize>(
    inputs: [FloatTensor<B>; N],
) -> Result<[FloatTensor<B>; N], [FloatTensor<B>; N]> {
    if B::Plain::are_ready(&inputs.each_ref().map(B::plain)) {
        Ok(inputs)
    } else {
        Err(inputs)
    }
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Of an adapter's [`TrainBackend::adapt`], what is not a tensor.
#[derive(Clone, Copy, Debug)]
pub struct AdapterPass<'a> {
    /// Factor on the adapter's part.
    pub scale: f64,
    /// Drops elements of the adapter's input, where its probability is above zero.
    pub dropout: Option<(&'a Dropout, Noise)>,
}

/// The numbers of one [`TrainBackend::adamw_update`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this parameter at this step.
    pub learning_rate: f64,
    /// Decoupled weight decay; zero for biases and norms.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Factor on the gradient, from clipping; 1 where nothing is clipped.
    pub gradient_scale: f64,
    /// Updates of this parameter so far, this one included.
    pub count: u64,
}

impl Kernels for NdArray {}
impl<B: FusionBackend> Kernels for Fusion<B> {}
impl<B: Backend, C: CheckpointStrategy> Kernels for Autodiff<B, C> {}

/// The methods of a backend that computes by itself.
macro_rules! computes {
    () => {
        type Plain = Self;

        fn plain(tensor: &FloatTensor<Self>) -> &FloatTensor<Self> {
            tensor
        }

        fn plain_int(tensor: IntTensor<Self>) -> IntTensor<Self> {
            tensor
        }

        fn fuse<const N: usize>(
            inputs: [FloatTensor<Self>; N],
            kernel: impl FnOnce([FloatTensor<Self>; N], [bool; N]) -> Fused<Self, N>,
        ) -> FloatTensor<Self> {
            kernel(inputs, [false; N]).output
        }
    };
}

impl TrainBackend for NdArray {
    computes!();
}

impl<B: FusionBackend> TrainBackend for Fusion<B> {
    computes!();
}

impl TrainBackend for Flex {
    computes!();

    fn awake() -> Option<Awake> {
        Some(Awake::new())
    }

    fn sum_of_squares(x: Tensor<Self, 1>) -> Tensor<Self, 1> {
        match ready::<Self, 1>([primitive(x)]) {
            Ok([x]) => tensor(kernels::sum_of_squares(x)),
            Err([x]) => composed::sum_of_squares(tensor(x)),
        }
    }

    fn zeros(length: usize, _device: &Self::Device) -> Tensor<Self, 1> {
        tensor(kernels::zeros(length))
    }

    fn adamw_update(
        [parameter, moment1, moment2]: [Tensor<Self, 1>; 3],
        gradient: Tensor<Self, 1>,
        step: &AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        let inputs = [parameter, moment1, moment2, gradient].map(primitive);
        match ready::<Self, 4>(inputs) {
            Ok([parameter, moment1, moment2, gradient]) => {
                kernels::adamw_update([parameter, moment1, moment2], gradient, step).map(tensor)
            }
            Err(inputs) => {
                let [parameter, moment1, moment2, gradient] = inputs.map(tensor);
                composed::adamw_update([parameter, moment1, moment2], gradient, step)
            }
        }
    }
}

impl<B: TrainBackend, C: CheckpointStrategy> TrainBackend for Autodiff<B, C> {
    type Plain = B;

    fn awake() -> Option<Awake> {
        B::awake()
    }

    fn plain(tensor: &FloatTensor<Self>) -> &FloatTensor<B> {
        &tensor.primitive
    }

    fn plain_int(tensor: IntTensor<Self>) -> IntTensor<B> {
        tensor
    }

    fn fuse<const N: usize>(
        inputs: [FloatTensor<Self>; N],
        kernel: impl FnOnce([FloatTensor<B>; N], [bool; N]) -> Fused<B, N>,
    ) -> FloatTensor<Self> {
        graph::track::<B, C, N>(inputs, kernel)
    }
}
