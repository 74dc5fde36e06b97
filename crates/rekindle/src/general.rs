//! What a model forgets: the loss of its base's own objective on a text that it is not trained on.

use burn::tensor::backend::BackendTypes;
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{CausalLm, Model, TrainBackend, merge};
use rekindle_train::batch::{Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::mask_task::MaskTask;
use rekindle_train::objective::Objective;
use rekindle_train::task::{RowTask, TagTask};
use rekindle_train::token_task::TokenTask;

use crate::base::Base;
use crate::error::Error;
use crate::samples::device_of;

/// A general text, ready to be run.
pub(crate) struct General<'a> {
    pub(crate) base: &'a Base,
    /// What the run trains for, by which its tensors are named.
    pub(crate) task: TaskKind,
    pub(crate) rows: &'a [Row],
    pub(crate) layout: Layout,
    pub(crate) batch_size: usize,
}

/// A task whose model can be asked for what its base was trained for.
pub(crate) trait Remembers<B: TrainBackend, M> {
    /// The mean loss of the base's own objective.
    fn general_loss(&self, model: &M, general: &General) -> Result<f64, Error>;
}

impl<B: TrainBackend, M: CausalLm<B>> Remembers<B, M> for TokenTask {
    fn general_loss(&self, model: &M, general: &General) -> Result<f64, Error> {
        let device = device_of::<B, M>(model);
        Ok(general.loss::<B, M, _>(self, model, TaskKind::Generate, &device))
    }
}

impl<B: TrainBackend, M: Model<B>> Remembers<B, M> for RowTask {
    fn general_loss(&self, model: &M, general: &General) -> Result<f64, Error> {
        general.of_encoder::<B, M>(model)
    }
}

impl<B: TrainBackend, M: Model<B>> Remembers<B, M> for TagTask {
    fn general_loss(&self, model: &M, general: &General) -> Result<f64, Error> {
        general.of_encoder::<B, M>(model)
    }
}

impl<B: TrainBackend, M: Model<B>> Remembers<B, M> for MaskTask {
    fn general_loss(&self, model: &M, general: &General) -> Result<f64, Error> {
        general.of_encoder::<B, M>(model)
    }
}

impl General<'_> {
    /// The loss of an encoder: its body as it is now, under the head for words that the base has.
    fn of_encoder<B: TrainBackend, M: Model<B>>(&self, model: &M) -> Result<f64, Error> {
        let device = device_of::<B, M>(model);
        // A model without adapters has nothing to fold.
        let folded = merge::<B, M>(model.clone()).unwrap_or_else(|_| model.clone());
        let predictor = self
            .base
            .word_predictor::<B, M>(&folded, self.task, &device)?;
        Ok(self.loss::<B, _, _>(&MaskTask, &predictor, TaskKind::Mask, &device))
    }

    fn loss<B, M, T>(
        &self,
        task: &T,
        model: &M,
        kind: TaskKind,
        device: &<B as BackendTypes>::Device,
    ) -> f64
    where
        B: TrainBackend,
        M: Model<B>,
        T: rekindle_train::task::Task<B, M>,
    {
        let objective = Objective::new(kind, LabelSet::from_names(Vec::new()));
        let runner = Runner {
            task,
            objective: &objective,
            layout: self.layout,
            batch_size: self.batch_size,
        };
        runner.evaluate(model, self.rows, device).loss
    }
}
