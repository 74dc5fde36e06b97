//! Which of a model's roles a task uses.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use rekindle_nn::{Classifier, Model, Tagger, TrainBackend};

use crate::batch::Batch;

/// Turns a batch into the logits of its targets.
pub trait Task<B: TrainBackend, M: Model<B>>: Copy {
    /// Logits, `[outputs, labels]`: the outputs of all targets in order.
    fn logits(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2>;
}

/// Tasks with a target for each row: classes, several labels, a number.
#[derive(Clone, Copy, Debug)]
pub struct RowTask;

/// Tasks with a target for each word.
#[derive(Clone, Copy, Debug)]
pub struct TagTask;

impl<B: TrainBackend, M: Classifier<B>> Task<B, M> for RowTask {
    fn logits(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        model.classify(batch.input, &batch.rows)
    }
}

impl<B: TrainBackend, M: Tagger<B>> Task<B, M> for TagTask {
    fn logits(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        model.tag(batch.input, &batch.rows).select(0, batch.tagged)
    }
}

/// A backend that trains: Burn's autodiff over a [`TrainBackend`].
pub trait TrainableBackend:
    TrainBackend + burn::tensor::backend::AutodiffBackend<InnerBackend: TrainBackend>
{
}

impl<B> TrainableBackend for B where
    B: TrainBackend + burn::tensor::backend::AutodiffBackend<InnerBackend: TrainBackend>
{
}

/// A model that is trained on `B`, and evaluated below autodiff.
pub trait TrainableModel<B: TrainableBackend>:
    Model<B> + AutodiffModule<B, InnerModule: Model<Inner<B>>>
{
}

impl<B: TrainableBackend, M> TrainableModel<B> for M where
    M: Model<B> + AutodiffModule<B, InnerModule: Model<Inner<B>>>
{
}

/// A task of such a model.
pub trait TrainableTask<B: TrainableBackend, M: TrainableModel<B>>:
    Task<B, M> + Task<Inner<B>, M::InnerModule>
{
}

impl<B: TrainableBackend, M: TrainableModel<B>, T> TrainableTask<B, M> for T where
    T: Task<B, M> + Task<Inner<B>, M::InnerModule>
{
}

/// The backend below autodiff.
pub type Inner<B> = <B as burn::tensor::backend::AutodiffBackend>::InnerBackend;

/// The device of a backend.
pub type Device<B> = <B as burn::tensor::backend::BackendTypes>::Device;
