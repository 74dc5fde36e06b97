//! States of blocks that no step changes, computed once: later epochs run only what is above them.

use std::cmp::Reverse;

use burn::tensor::{Tensor, TensorData};
use rekindle_nn::{Model, Stem, TrainBackend};

use crate::batch::{Batch, Layout, Row, RowFailure, RowSource};
use crate::error::TrainError;
use crate::task::Device;

/// Bytes of memory that states may take.
const MOST_BYTES: usize = 1 << 30;

/// Tokens that a group of short rows is filled up to: a product of fewer takes longer by token.
const TOKENS_AT_ONCE: usize = 1024;

/// The part of a model that gives the same states at every step: nothing in it is trained or dropped out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Still {
    /// Blocks from the input on.
    pub blocks: usize,
    /// Numbers of a token's state.
    pub width: usize,
}

/// The states of rows after the still part of a model, as far as they were asked for.
#[derive(Debug)]
pub(crate) struct Stems {
    still: Still,
    /// Whether only the first token of each row is kept, because nothing above reads the others.
    is_first_alone: bool,
    layout: Layout,
    /// Rows of similar length that are run together whatever a step asks for, so that states do not depend
    /// on where a run was taken up.
    groups: Vec<Vec<usize>>,
    /// By row.
    group_of: Vec<usize>,
    /// By row; empty where they were not asked for.
    states: Vec<Vec<f32>>,
}

impl Stems {
    /// No states yet; `None` if they would take too much memory.
    pub(crate) fn new(
        (still, is_first_alone): (Still, bool),
        rows: &dyn RowSource,
        (layout, batch_size): (Layout, usize),
    ) -> Option<Self> {
        let lengths: Vec<usize> = (0..rows.len()).map(|row| rows.length(row)).collect();
        let tokens: usize = if is_first_alone {
            lengths.len()
        } else {
            lengths.iter().sum()
        };
        if tokens * still.width * size_of::<f32>() > MOST_BYTES {
            return None;
        }
        let groups = groups(&lengths, batch_size);
        let mut group_of = vec![0; rows.len()];
        for (number, group) in groups.iter().enumerate() {
            for &index in group {
                group_of[index] = number;
            }
        }
        Some(Self {
            still,
            is_first_alone,
            layout,
            groups,
            group_of,
            states: vec![Vec::new(); rows.len()],
        })
    }

    /// Computes the states of rows, with those of their groups, where they are not there.
    pub(crate) fn fill<B: TrainBackend, M: Model<B>>(
        &mut self,
        indices: &[usize],
        model: impl Fn() -> M,
        rows: &dyn RowSource,
        device: &Device<B>,
    ) -> Result<(), TrainError> {
        for &index in indices {
            if self.states[index].is_empty() {
                self.fill_group::<B, M>(self.group_of[index], &model(), (rows, device))
                    .map_err(TrainError::row(index))?;
            }
        }
        Ok(())
    }

    fn fill_group<B: TrainBackend, M: Model<B>>(
        &mut self,
        group: usize,
        model: &M,
        (rows, device): (&dyn RowSource, &Device<B>),
    ) -> Result<(), RowFailure> {
        let group = &self.groups[group];
        let found = group.iter().map(|&index| rows.row(index, 0));
        let found: Vec<_> = found.collect::<Result<_, _>>()?;
        let found: Vec<&Row> = found.iter().map(AsRef::as_ref).collect();
        let batch = Batch::<B>::new(&found, self.layout, device);
        let (states, places) = if self.is_first_alone {
            let places = (0..group.len()).map(|row| (row, 1)).collect();
            (model.first_stem(batch.input, &batch.rows), places)
        } else {
            let lengths = batch.rows.lengths().iter().copied();
            let places: Vec<_> = batch.rows.starts().into_iter().zip(lengths).collect();
            let states = model.stem(batch.input, &batch.rows, self.still.blocks);
            (states, places)
        };
        let states = states.expect("a model with a still part tells its states");
        let states: Vec<f32> = states.into_data().iter::<f32>().collect();
        let width = self.still.width;
        for (&index, (start, kept)) in group.iter().zip(places) {
            self.states[index] = states[start * width..][..kept * width].to_vec();
        }
        Ok(())
    }

    /// A batch of rows whose states are there.
    pub(crate) fn batch<B: TrainBackend>(
        &self,
        indices: &[usize],
        rows: &[&Row],
        device: &Device<B>,
    ) -> Batch<B> {
        let mut batch = if self.is_first_alone {
            let short: Vec<Row> = rows.iter().map(|row| first_token(row)).collect();
            Batch::new(&short.iter().collect::<Vec<_>>(), self.layout, device)
        } else {
            Batch::new(rows, self.layout, device)
        };
        let (slots, width) = (batch.rows.num_slots(), self.still.width);
        let mut values = vec![0.0; slots * width];
        for (&index, start) in indices.iter().zip(batch.rows.starts()) {
            let states = &self.states[index];
            values[start * width..][..states.len()].copy_from_slice(states);
        }
        batch.input.stem = Some(Stem {
            blocks: self.still.blocks,
            states: Tensor::from_data(TensorData::new(values, [slots, width]), device),
        });
        batch
    }
}

/// Rows of similar length, by their indices: at least a batch of them, and more while they are short.
fn groups(lengths: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| Reverse(lengths[index]));
    let mut groups = Vec::new();
    let mut rest = order.as_slice();
    while let Some(&longest) = rest.first() {
        let size = (TOKENS_AT_ONCE / lengths[longest].max(1)).max(batch_size);
        let (group, others) = rest.split_at(size.min(rest.len()));
        groups.push(group.to_vec());
        rest = others;
    }
    groups
}

/// A row cut to its first token.
fn first_token(row: &Row) -> Row {
    Row {
        ids: row.ids[..1].to_vec(),
        type_ids: row.type_ids[..1].to_vec(),
        target: row.target.clone(),
        number: row.number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_are_run_together_and_long_ones_by_the_batch() {
        let mut lengths = vec![10; 150];
        lengths[7] = 500;
        lengths[9] = 400;
        lengths[8] = 300;
        let groups = groups(&lengths, 3);
        assert_eq!(groups[0], [7, 9, 8]);
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 102, 45]);
        assert_eq!(groups[1][..8], [0, 1, 2, 3, 4, 5, 6, 10]);
    }
}
