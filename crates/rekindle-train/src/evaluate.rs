//! Logits and scores of rows, without training.

use std::convert::Infallible;

use rekindle_nn::{Model, TrainBackend};

use crate::batch::{Batch, Layout, Row};
use crate::objective::Objective;
use crate::scores::Scores;
use crate::task::Task;

/// The result of scoring rows.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Mean loss over all targets.
    pub loss: f64,
    /// The task's numbers.
    pub scores: Scores,
    /// All outputs of each row, in the order of the rows.
    pub outputs: Vec<Vec<f32>>,
}

/// How rows are run through a model.
#[derive(Clone, Copy, Debug)]
pub struct Runner<'a, T> {
    /// The task.
    pub task: &'a T,
    /// Its loss and numbers.
    pub objective: &'a Objective,
    /// How rows lie in memory.
    pub layout: Layout,
    /// Rows of a forward pass.
    pub batch_size: usize,
}

impl<T> Runner<'_, T> {
    /// All outputs of each row, in the order of the rows.
    ///
    /// Rows of similar length are run together, so that little is padded.
    pub fn outputs<B, M>(&self, model: &M, rows: &[Row], device: &B::Device) -> Vec<Vec<f32>>
    where
        B: TrainBackend,
        M: Model<B>,
        T: Task<B, M>,
    {
        self.outputs_of(model, rows, |_, batch| {
            Ok::<_, Infallible>(Batch::new(batch, self.layout, device))
        })
        .unwrap_or_else(|never| match never {})
    }

    /// [`Self::outputs`] with batches that are made of rows, and their indices, in a way of its own.
    pub(crate) fn outputs_of<B, M, E>(
        &self,
        model: &M,
        rows: &[Row],
        mut place: impl FnMut(&[usize], &[&Row]) -> Result<Batch<B>, E>,
    ) -> Result<Vec<Vec<f32>>, E>
    where
        B: TrainBackend,
        M: Model<B>,
        T: Task<B, M>,
    {
        let _awake = B::awake();
        let has_outputs = |index: &usize| rows[*index].target.num_outputs() > 0;
        let mut order: Vec<usize> = (0..rows.len()).filter(has_outputs).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(rows[index].ids.len()));
        let mut outputs = vec![Vec::new(); rows.len()];
        for indices in order.chunks(self.batch_size) {
            let batch: Vec<&Row> = indices.iter().map(|&index| &rows[index]).collect();
            let found = self.task.outputs(model, place(indices, &batch)?);
            let found: Vec<f32> = found.into_data().iter::<f32>().collect();
            let mut rest = found.as_slice();
            for (&index, row) in indices.iter().zip(&batch) {
                let (own, others) =
                    rest.split_at(row.target.num_outputs() * self.objective.num_outputs());
                outputs[index] = own.to_vec();
                rest = others;
            }
        }
        Ok(outputs)
    }

    /// Loss and numbers of rows; both are the same for every batch size.
    pub fn evaluate<B, M>(&self, model: &M, rows: &[Row], device: &B::Device) -> Evaluated
    where
        B: TrainBackend,
        M: Model<B>,
        T: Task<B, M>,
    {
        self.score(self.outputs(model, rows, device), rows)
    }

    /// Loss and numbers of the outputs of rows.
    pub(crate) fn score(&self, outputs: Vec<Vec<f32>>, rows: &[Row]) -> Evaluated {
        let (mut loss, mut weight) = (0.0, 0.0);
        for (outputs, row) in outputs.iter().zip(rows) {
            loss += self.objective.row_loss(outputs, &row.target);
            weight += self.objective.weight(&row.target);
        }
        let targets: Vec<_> = rows.iter().map(|row| &row.target).collect();
        let scores = self.objective.scores(&outputs, &targets);
        Evaluated {
            loss: loss / weight,
            scores,
            outputs,
        }
    }
}
