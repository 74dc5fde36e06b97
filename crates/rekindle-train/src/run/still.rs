//! What a run keeps of the part of a model that no step changes.

use rekindle_nn::Model;

use super::{MODEL_IS_THERE, State};
use crate::batch::{Batch, Row, RowSource};
use crate::error::TrainError;
use crate::evaluate::{Evaluated, Runner};
use crate::stems::{Stems, Still};
use crate::task::{Inner, Task, TrainableBackend, TrainableModel, TrainableTask};

/// The states that a run keeps of its training and validation rows; `None` if they take too much memory.
pub(super) fn stems<B, M, T>(
    still: Still,
    runner: &Runner<T>,
    model: &M,
    [train, valid]: [&dyn RowSource; 2],
) -> Option<[Stems; 2]>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let is_above = still.blocks == Model::<B>::num_blocks(model);
    let is_first_alone = is_above && Task::<B, M>::reads_first_token_alone(runner.task);
    let of = |rows| {
        let on = (runner.layout, runner.batch_size);
        Stems::new((still, is_first_alone), rows, on)
    };
    Some([of(train)?, of(valid)?])
}

impl<B, M, T> State<'_, '_, B, M, T>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    /// Moves training rows, by their indices, to the device, or the states that are kept of them.
    pub(super) fn batch(
        &mut self,
        indices: &[usize],
        rows: &[&Row],
    ) -> Result<Batch<B>, TrainError> {
        let Some([stems, _]) = &mut self.stems else {
            return Ok(Batch::new(rows, self.runner.layout, &self.device));
        };
        let model = self.model.as_ref().expect(MODEL_IS_THERE);
        stems.fill::<Inner<B>, _>(indices, || model.valid(), self.train, &self.device)?;
        Ok(stems.batch(indices, rows, &self.device))
    }

    /// Scores the validation rows.
    pub(super) fn score(&mut self, model: &M::InnerModule) -> Result<Evaluated, TrainError> {
        let (runner, valid, device) = (&self.runner, self.valid, &self.device);
        let Some([_, stems]) = &mut self.stems else {
            return Ok(runner.evaluate(model, valid, device));
        };
        let outputs = runner.outputs_of(model, valid, |indices, rows| {
            stems.fill::<Inner<B>, _>(indices, || model.clone(), &valid, device)?;
            Ok::<_, TrainError>(stems.batch(indices, rows, device))
        })?;
        Ok(runner.score(outputs, valid))
    }
}
