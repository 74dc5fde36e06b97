//! The task of a decoder: the next token.
//!
//! What flows back from the projection goes through the blocks as a whole, or block by block from the last
//! to the first, each recomputed (Chen et al., 2016).

use burn::tensor::Tensor;
use rekindle_nn::{CausalLm, Depth, Model, Place, Slots, TrainBackend};

use crate::batch::Batch;
use crate::optimizer::Gradients;
use crate::projection::{self, Share, flow_back, flow_through, leaf, lowest};
use crate::task::{Goal, Inner, Passed, Task, TrainableBackend, TrainableModel, TrainableTask};

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
        projection::outputs(model, &states, &next)
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
        projection::pass(self.model, states, self.share(), gradients)
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
        let (passed, flow) =
            projection::project(self.model, &states.clone().inner(), self.share(), gradients);
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

    fn share(&self) -> Share<'_> {
        Share {
            targets: &self.batch.next,
            weight: self.weight,
        }
    }

    /// The normalized states that predict targets, `[targets, D]`.
    fn top(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        self.model.norm(hidden.select(0, self.batch.scored.clone()))
    }
}
