//! Kernels as nodes of Burn's graph of gradients.

use burn::tensor::{backend::Backend, ops::FloatTensor};
use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};

use crate::kernels::{Fused, Pullback};

/// Runs a kernel on inputs of a graph, and records the way back.
pub(crate) fn track<B: Backend, C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    kernel: impl FnOnce([FloatTensor<B>; N], [bool; N]) -> Fused<B, N>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = inputs.each_ref().map(|input| input.node.clone());
    let needed = nodes.each_ref().map(|node| !node.requirement.is_none());
    // The counters keep the inputs' own steps in the graph until this one is.
    let _counters = inputs.each_ref().map(|input| input.rc.clone());
    let Fused { output, pullback } = kernel(inputs.map(|input| input.primitive), needed);
    match Node::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(pullback, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

/// The step of any kernel.
#[derive(Debug)]
struct Node<const N: usize>;

impl<B: Backend, const N: usize> Backward<B, N> for Node<N> {
    type State = Pullback<B, N>;

    fn backward(
        self,
        step: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&step.node);
        let needed = step.parents.each_ref().map(Option::is_some);
        let found = step.state.call(gradient, needed);
        for (parent, gradient) in step.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
