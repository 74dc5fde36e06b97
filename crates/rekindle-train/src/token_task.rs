//! The task of a language model: the next token, its loss taken a few tokens at a time.
//!
//! The full matrix of logits, `[tokens, vocabulary]`, is never held: states are projected in chunks, and
//! each chunk is run backward before the next one is projected. What flows back into the states then goes
//! through the blocks as a whole, or block by block from the last to the first, each recomputed
//! (Chen et al., 2016).

use std::ops::Range;

use burn::tensor::{DType, Int, Tensor, activation};
use rekindle_nn::{CausalLm, Depth, Model, Place, Slots, TrainBackend, cast, list};

use crate::batch::Batch;
use crate::optimizer::Gradients;
use crate::task::{Goal, Inner, Passed, Task, TrainableBackend, TrainableModel, TrainableTask};

/// Numbers of an output: the loss of a target token in nats, and 1 where it was the likeliest one, else 0.
pub const TOKEN_OUTPUT: usize = 2;

/// Logits of a chunk, at most.
const CHUNK_LOGITS: usize = 1 << 23;

/// Tasks whose targets are the rows' own tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenTask {
    /// Whether the states within blocks are computed again on the way back, and not kept.
    pub recomputes: bool,
}

impl<B: TrainBackend, M: CausalLm<B>> Task<B, M> for TokenTask {
    fn outputs(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        let Batch {
            input,
            rows,
            scored,
            next,
        } = batch;
        let device = scored.device();
        let place = model.place(Slots::Rows(rows), &device);
        let mut hidden = model.embed(input.ids, &place);
        for index in 0..model.num_blocks() {
            hidden = model.block(index, hidden, &place, None);
        }
        let states = model.norm(hidden.select(0, scored)); // [targets, D]
        let chunks = chunks(next.len(), model.vocabulary()).map(|range| {
            let states = states.clone().slice([range.clone()]);
            let losses = Losses::new(model.project(states), &next[range]);
            Tensor::cat(vec![losses.each, losses.is_right], 1)
        });
        Tensor::cat(chunks.collect(), 0)
    }
}

impl<B, M> TrainableTask<B, M> for TokenTask
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    fn pass(&self, model: &M, batch: Batch<B>, goal: Goal, gradients: &mut Gradients<B>) -> Passed {
        let place = model.place(Slots::Rows(batch.rows.clone()), &batch.scored.device());
        let pass = Pass {
            model,
            batch: &batch,
            place,
            weight: goal.weight,
            lowest: lowest::<B, M>(model),
        };
        if self.recomputes {
            pass.recompute(gradients)
        } else {
            pass.keep(gradients)
        }
    }
}

/// A batch on its way through a model and back.
struct Pass<'a, B: TrainableBackend, M> {
    model: &'a M,
    batch: &'a Batch<B>,
    place: Place<B>,
    weight: f64,
    /// Where the lowest trained parameter stands: nothing flows back below it.
    lowest: Depth,
}

impl<B, M> Pass<'_, B, M>
where
    B: TrainableBackend,
    M: TrainableModel<B> + CausalLm<B>,
    M::InnerModule: CausalLm<Inner<B>>,
{
    /// Keeps all states of the forward pass for the backward pass.
    fn keep(&self, gradients: &mut Gradients<B>) -> Passed {
        let mut hidden = self.model.embed(self.batch.input.ids.clone(), &self.place);
        for index in 0..self.model.num_blocks() {
            hidden = self.model.block(index, hidden, &self.place, None);
        }
        let states = self.top(hidden);
        let (passed, flow) = self.project(states.clone().inner(), gradients);
        // Where only the output layer is trained, nothing below has a graph.
        if self.lowest < Depth::Head || !gradients.missing(self.model).is_empty() {
            flow_back(self.model, states, flow, gradients);
        }
        passed
    }

    /// Keeps the states between blocks only, and computes those within a block again.
    fn recompute(&self, gradients: &mut Gradients<B>) -> Passed {
        let inner = self.model.valid();
        let Place { slots, rotary, .. } = self.place.clone();
        let place = Place::new(slots, rotary.map(|tables| tables.map(Tensor::inner)));
        let mut hidden = vec![inner.embed(self.batch.input.ids.clone().inner(), &place)];
        for index in 0..inner.num_blocks() {
            hidden.push(inner.block(index, hidden[index].clone(), &place, None));
        }
        drop(inner);
        let mut pieces = hidden.into_iter().rev();
        let last = leaf::<B>(pieces.next().expect("there are the embeddings at least"));
        let states = self.top(last.clone());
        let (passed, flow) = self.project(states.clone().inner(), gradients);
        let mut flow = flow_through(self.model, last, states, flow, gradients);
        for (index, input) in (0..self.model.num_blocks()).rev().zip(pieces) {
            if self.lowest > Depth::Block(index) {
                return passed;
            }
            let input = leaf::<B>(input);
            let output = self.model.block(index, input.clone(), &self.place, None);
            flow = flow_through(self.model, input, output, flow, gradients);
        }
        if self.lowest == Depth::Embeddings {
            let embedded = self.model.embed(self.batch.input.ids.clone(), &self.place);
            flow_back(self.model, embedded, flow, gradients);
        }
        passed
    }

    /// The normalized states that predict targets, `[targets, D]`.
    fn top(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        self.model.norm(hidden.select(0, self.batch.scored.clone()))
    }

    /// Losses of the targets, the gradients of the projection, and what flows back into the states.
    fn project(
        &self,
        states: Tensor<Inner<B>, 2>,
        gradients: &mut Gradients<B>,
    ) -> (Passed, Tensor<Inner<B>, 2>) {
        let next = &self.batch.next;
        let mut passed = Passed {
            loss: 0.0,
            outputs: Vec::with_capacity(next.len() * TOKEN_OUTPUT),
        };
        let mut flows = Vec::new();
        for range in chunks(next.len(), self.model.vocabulary()) {
            let states = leaf::<B>(states.clone().slice([range.clone()]));
            let next = &next[range];
            let losses = Losses::new(self.model.project(states.clone()), next);
            let outputs = [&losses.each, &losses.is_right].map(|column| column.clone().inner());
            let outputs = Tensor::cat(outputs.to_vec(), 1).into_data();
            let outputs: Vec<f32> = outputs.iter::<f32>().collect();
            let (pairs, _) = outputs.as_chunks::<TOKEN_OUTPUT>();
            for ([loss, _], (_, weight)) in pairs.iter().zip(next) {
                passed.loss += f64::from(*loss) * f64::from(*weight);
            }
            passed.outputs.extend(outputs);
            let mut back = (losses.weighted_sum(next) / self.weight).backward();
            flows.push(states.grad_remove(&mut back).expect(TRACKED));
            gradients.add(self.model, back);
        }
        (passed, Tensor::cat(flows, 0))
    }
}

const TRACKED: &str = "a leaf that the output depends on has a gradient";

/// The losses of some targets.
struct Losses<B: TrainBackend> {
    /// In nats, `[targets, 1]`.
    each: Tensor<B, 2>,
    /// Whether the target was the likeliest token, `[targets, 1]`.
    is_right: Tensor<B, 2>,
}

impl<B: TrainBackend> Losses<B> {
    /// From logits `[targets, V]`, in f32 whatever their type.
    fn new(logits: Tensor<B, 2>, next: &[(u32, f32)]) -> Self {
        let logits = cast(logits, DType::F32);
        let ids: Vec<i32> = next.iter().map(|(id, _)| *id as i32).collect();
        let ids: Tensor<B, 1, Int> = Tensor::from_data(ids.as_slice(), &logits.device());
        let ids = ids.unsqueeze_dim::<2>(1); // [targets, 1]
        let is_right = logits.clone().argmax(1).equal(ids.clone()).float();
        Self {
            each: activation::log_softmax(logits, 1).gather(1, ids).neg(),
            is_right: cast(is_right, DType::F32),
        }
    }

    fn weighted_sum(self, next: &[(u32, f32)]) -> Tensor<B, 1> {
        let weights: Vec<f32> = next.iter().map(|(_, weight)| *weight).collect();
        let weights: Tensor<B, 1> = Tensor::from_data(weights.as_slice(), &self.each.device());
        (self.each * cast(weights, DType::F32).unsqueeze_dim(1)).sum()
    }
}

/// Ranges of targets whose logits are made at once.
fn chunks(targets: usize, vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    let size = (CHUNK_LOGITS / vocabulary).max(1);
    let starts = (0..targets).step_by(size);
    starts.map(move |start| start..targets.min(start + size))
}

/// States from which a graph of their own begins.
fn leaf<B: TrainableBackend>(states: Tensor<Inner<B>, 2>) -> Tensor<B, 2> {
    Tensor::from_inner(states).require_grad()
}

/// Runs backward from `states`, whose gradient is `flow`.
fn flow_back<B: TrainableBackend, M: TrainableModel<B>>(
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
fn flow_through<B: TrainableBackend, M: TrainableModel<B>>(
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
fn lowest<B: TrainableBackend, M: TrainableModel<B>>(model: &M) -> Depth {
    let parameters = list::<B, M>(model).into_iter();
    let trained = parameters.filter(|parameter| parameter.is_trainable);
    trained
        .map(|parameter| model.depth(&parameter.path))
        .min()
        .unwrap_or(Depth::Head)
}
