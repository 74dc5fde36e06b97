//! Which of a model's roles a task uses.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use rekindle_nn::{Classifier, Model, Tagger, TrainBackend};

use crate::batch::Batch;
use crate::objective::{Objective, Target};
use crate::optimizer::Gradients;

/// Turns a batch into the outputs of its targets.
pub trait Task<B: TrainBackend, M: Model<B>>: Copy {
    /// Outputs, `[outputs, numbers]`: those of all targets in order.
    fn outputs(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2>;

    /// Whether, above the blocks, only the state of each row's first token is read.
    fn reads_first_token_alone(&self) -> bool {
        false
    }
}

/// Tasks with a target for each row: classes, several labels, a number.
#[derive(Clone, Copy, Debug)]
pub struct RowTask;

/// Tasks with a target for each word.
#[derive(Clone, Copy, Debug)]
pub struct TagTask;

impl<B: TrainBackend, M: Classifier<B>> Task<B, M> for RowTask {
    fn outputs(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        model.classify(batch.input, &batch.rows)
    }

    fn reads_first_token_alone(&self) -> bool {
        true
    }
}

impl<B: TrainBackend, M: Tagger<B>> Task<B, M> for TagTask {
    fn outputs(&self, model: &M, batch: Batch<B>) -> Tensor<B, 2> {
        model.tag(batch.input, &batch.rows).select(0, batch.scored)
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
    /// Runs a batch forward and backward, and adds the gradients of its part of a mean loss.
    fn pass(&self, model: &M, batch: Batch<B>, goal: Goal, gradients: &mut Gradients<B>) -> Passed {
        let outputs = self.outputs(model, batch);
        let loss = goal.objective.loss_sum(outputs.clone(), goal.targets);
        let sum = f64::from(loss.clone().into_data().iter::<f32>().sum::<f32>());
        gradients.add(model, (loss / goal.weight).backward());
        Passed {
            loss: sum,
            outputs: outputs.into_data().iter::<f32>().collect(),
        }
    }
}

/// What a batch is trained towards.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a> {
    /// The loss.
    pub objective: &'a Objective,
    /// A target for each row.
    pub targets: &'a [&'a Target],
    /// Weight of all targets of the optimizer step, by which the sum of losses is divided.
    pub weight: f64,
}

/// What the passes of a batch gave besides gradients.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Sum of the losses.
    pub loss: f64,
    /// Outputs of all targets in order.
    pub outputs: Vec<f32>,
}

impl<B, M> TrainableTask<B, M> for RowTask
where
    B: TrainableBackend,
    M: TrainableModel<B> + Classifier<B>,
    M::InnerModule: Classifier<Inner<B>>,
{
}

impl<B, M> TrainableTask<B, M> for TagTask
where
    B: TrainableBackend,
    M: TrainableModel<B> + Tagger<B>,
    M::InnerModule: Tagger<Inner<B>>,
{
}

/// The backend below autodiff.
pub type Inner<B> = <B as burn::tensor::backend::AutodiffBackend>::InnerBackend;

/// The device of a backend.
pub type Device<B> = <B as burn::tensor::backend::BackendTypes>::Device;
