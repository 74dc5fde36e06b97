//! The task of a masked language model: the tokens that were hidden.

use burn::tensor::Tensor;
use rekindle_nn::{MaskedLm, TrainBackend};

use crate::batch::Batch;
use crate::optimizer::Gradients;
use crate::projection::{self, Share};
use crate::task::{Goal, Inner, Passed, Task, TrainableBackend, TrainableModel, TrainableTask};

/// Tasks whose targets are hidden tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaskTask;

impl<B: TrainBackend, M: MaskedLm<B>> Task<B, M> for MaskTask {
    fn outputs(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        let states = model.states(batch.input, &batch.rows, batch.scored); // [targets, D]
        projection::outputs(model, &states, &batch.next)
    }
}

impl<B, M> TrainableTask<B, M> for MaskTask
where
    B: TrainableBackend,
    M: TrainableModel<B> + MaskedLm<B>,
    M::InnerModule: MaskedLm<Inner<B>>,
{
    fn pass(&self, model: &M, batch: Batch<B>, goal: Goal, gradients: &mut Gradients<B>) -> Passed {
        let states = model.states(batch.input, &batch.rows, batch.scored); // [targets, D]
        let share = Share {
            targets: &batch.next,
            weight: goal.weight,
        };
        projection::pass(model, states, share, gradients)
    }
}
