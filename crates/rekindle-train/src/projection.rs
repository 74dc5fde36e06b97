//! Losses of tokens against a whole vocabulary, a few at a time.
//!
//! The full matrix of logits, `[tokens, vocabulary]`, is never held: states are projected in chunks, and
//! each chunk is run backward before the next one is projected. What flows back into the states then goes
//! on through the model below.

use std::ops::Range;

use burn::tensor::{DType, Tensor};
use rekindle_nn::{Depth, LanguageModel, TrainBackend, cast, list};

use crate::optimizer::Gradients;
use crate::task::{Inner, Passed, TrainableBackend, TrainableModel};

/// Numbers of an output: the loss of a target token in nats, and 1 where it was the likeliest one, else 0.
pub const TOKEN_OUTPUT: usize = 2;

/// Logits of a chunk, at most.
const CHUNK_LOGITS: usize = 1 << 23;

const TRACKED: &str = "a leaf that the output depends on has a gradient";

/// The targets of a batch, as a part of those of an optimizer step.
#[derive(Clone, Copy)]
pub(crate) struct Share<'a> {
    /// Ids and weights.
    pub(crate) targets: &'a [(u32, f32)],
    /// Weight of all targets of the step.
    pub(crate) weight: f64,
}

/// Outputs of states that predict targets, `[targets, TOKEN_OUTPUT]`.
pub(crate) fn outputs<B: TrainBackend, M: LanguageModel<B>>(
    model: &M,
    states: &Tensor<B, 2>,
    targets: &[(u32, f32)],
) -> Tensor<B, 2> {
    let chunks = chunks(targets.len(), model.vocabulary()).map(|range| {
        let states = states.clone().slice([range.clone()]);
        compare(model.project(states), &targets[range])
    });
    Tensor::cat(chunks.collect(), 0)
}

/// Losses of states that predict targets; gradients of the projection and of all below the states.
pub(crate) fn pass<B, M>(
    model: &M,
    states: Tensor<B, 2>,
    share: Share,
    gradients: &mut Gradients<B>,
) -> Passed
where
    B: TrainableBackend,
    M: TrainableModel<B> + LanguageModel<B>,
{
    let (passed, flow) = project(model, &states.clone().inner(), share, gradients);
    // Where only the projection is trained, nothing below has a graph.
    if lowest::<B, M>(model) < Depth::Head || !gradients.missing(model).is_empty() {
        flow_back(model, states, flow, gradients);
    }
    passed
}

/// Losses of the targets, the gradients of the projection, and what flows back into the states.
pub(crate) fn project<B, M>(
    model: &M,
    states: &Tensor<Inner<B>, 2>,
    share: Share,
    gradients: &mut Gradients<B>,
) -> (Passed, Tensor<Inner<B>, 2>)
where
    B: TrainableBackend,
    M: TrainableModel<B> + LanguageModel<B>,
{
    let Share { targets, weight } = share;
    let mut passed = Passed {
        loss: 0.0,
        outputs: Vec::with_capacity(targets.len() * TOKEN_OUTPUT),
    };
    let mut flows = Vec::new();
    for range in chunks(targets.len(), model.vocabulary()) {
        let states = leaf::<B>(states.clone().slice([range.clone()]));
        let targets = &targets[range];
        let outputs = compare(model.project(states.clone()), targets);
        let mut back = (weighted_sum(outputs.clone(), targets) / weight).backward();
        let outputs: Vec<f32> = outputs.inner().into_data().iter::<f32>().collect();
        let (pairs, _) = outputs.as_chunks::<TOKEN_OUTPUT>();
        for ([loss, _], (_, weight)) in pairs.iter().zip(targets) {
            passed.loss += f64::from(*loss) * f64::from(*weight);
        }
        passed.outputs.extend(outputs);
        flows.push(states.grad_remove(&mut back).expect(TRACKED));
        gradients.add(model, back);
    }
    (passed, Tensor::cat(flows, 0))
}

/// Outputs of logits `[targets, V]`, in f32 whatever their type, `[targets, TOKEN_OUTPUT]`.
fn compare<B: TrainBackend>(logits: Tensor<B, 2>, targets: &[(u32, f32)]) -> Tensor<B, 2> {
    let ids: Vec<i32> = targets.iter().map(|(id, _)| *id as i32).collect();
    let ids = Tensor::from_data(ids.as_slice(), &logits.device());
    B::cross_entropy(cast(logits, DType::F32), ids)
}

/// Losses by the weights of their targets, summed.
fn weighted_sum<B: TrainBackend>(outputs: Tensor<B, 2>, targets: &[(u32, f32)]) -> Tensor<B, 1> {
    let weights: Vec<f32> = targets.iter().map(|(_, weight)| *weight).collect();
    let weights: Tensor<B, 1> = Tensor::from_data(weights.as_slice(), &outputs.device());
    (outputs.narrow(1, 0, 1) * cast(weights, DType::F32).unsqueeze_dim(1)).sum()
}

/// Ranges of targets whose logits are made at once.
fn chunks(targets: usize, vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    let size = (CHUNK_LOGITS / vocabulary).max(1);
    let starts = (0..targets).step_by(size);
    starts.map(move |start| start..targets.min(start + size))
}

/// States from which a graph of their own begins.
pub(crate) fn leaf<B: TrainableBackend>(states: Tensor<Inner<B>, 2>) -> Tensor<B, 2> {
    Tensor::from_inner(states).require_grad()
}

/// Runs backward from `states`, whose gradient is `flow`.
pub(crate) fn flow_back<B: TrainableBackend, M: TrainableModel<B>>(
    model: &M,
    states: Tensor<B, 2>,
    flow: Tensor<Inner<B>, 2>,
    gradients: &mut Gradients<B>,
) {
    // The gradient of this sum with respect to the states is `flow` itself.
    let back = (states * Tensor::from_inner(flow)).sum().backward();
    gradients.add(model, back);
}

/// As [`flow_back`]; returns the gradient of `input`, from which `output` was computed.
pub(crate) fn flow_through<B: TrainableBackend, M: TrainableModel<B>>(
    model: &M,
    input: Tensor<B, 2>,
    output: Tensor<B, 2>,
    flow: Tensor<Inner<B>, 2>,
    gradients: &mut Gradients<B>,
) -> Tensor<Inner<B>, 2> {
    let mut back = (output * Tensor::from_inner(flow)).sum().backward();
    let flow = input.grad_remove(&mut back).expect(TRACKED);
    gradients.add(model, back);
    flow
}

/// Where the lowest trained parameter stands.
pub(crate) fn lowest<B: TrainableBackend, M: TrainableModel<B>>(model: &M) -> Depth {
    let parameters = list::<B, M>(model).into_iter();
    let trained = parameters.filter(|parameter| parameter.is_trainable);
    trained
        .map(|parameter| model.depth(&parameter.path))
        .min()
        .unwrap_or(Depth::Head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_every_target_once_and_few_logits() {
        let ranges: Vec<_> = chunks(10, CHUNK_LOGITS / 4).collect();
        assert_eq!(ranges, [0..4, 4..8, 8..10]);
        assert_eq!(chunks(2, 2 * CHUNK_LOGITS).count(), 2);
        assert_eq!(chunks(0, 100).count(), 0);
    }
}
