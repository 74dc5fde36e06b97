//! Where the tokens of a forward pass stand.

use burn::tensor::{Tensor, backend::Backend};

use crate::{Dropout, Heads, LayerCache, Masks, Noise, Rows, TrainBackend};

/// Where the tokens of a forward pass of a decoder stand, and what its blocks derive from that: made
/// once, read by every block.
#[derive(Clone, Debug)]
pub struct Place<B: Backend> {
    /// Which tokens belong together.
    pub slots: Slots,
    /// Cosines and sines of the rotary angles of each slot, `[N, C/2]` each; `None` for models that add
    /// positions to the embeddings.
    pub rotary: Option<[Tensor<B, 2>; 2]>,
    masks: Masks<B>,
}

impl<B: Backend> Place<B> {
    /// The place of tokens whose models derive this much from it.
    pub fn new(slots: Slots, rotary: Option<[Tensor<B, 2>; 2]>) -> Self {
        Self {
            slots,
            rotary,
            masks: Masks::default(),
        }
    }
}

/// Which tokens of a forward pass belong together.
#[derive(Clone, Debug, PartialEq)]
pub enum Slots {
    /// Whole rows, each for itself.
    Rows(Rows),
    /// The next columns of a [`crate::KvCache`].
    Columns(Columns),
}

/// New columns of rows that are all equally far, each padded on the left; row by row, `[rows × width]`
/// slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Columns of padding at the left of each row.
    pub padding: Vec<usize>,
    /// Columns that the cache holds already.
    pub past: usize,
    /// Columns that are new.
    pub width: usize,
}

impl Columns {
    /// Slots of the new columns.
    pub fn num_slots(&self) -> usize {
        self.padding.len() * self.width
    }

    /// Position of each slot in its row, counted from 0; slots of padding have position 0.
    pub fn positions(&self) -> Vec<usize> {
        let row = |&padding: &usize| {
            (self.past..self.past + self.width).map(move |column| column.saturating_sub(padding))
        };
        self.padding.iter().flat_map(row).collect()
    }
}

impl Slots {
    /// Position of each slot in its row, counted from 0; slots of padding have position 0.
    pub fn positions(&self) -> Vec<usize> {
        match self {
            Self::Rows(rows) => rows.positions(),
            Self::Columns(columns) => columns.positions(),
        }
    }

    /// The source of dropout masks; `None` outside training.
    pub fn noise(&self) -> Option<Noise> {
        match self {
            Self::Rows(rows) => rows.noise(),
            Self::Columns(_) => None,
        }
    }
}

impl<B: TrainBackend> Place<B> {
    /// Attention of one block; with columns, over what its cache holds.
    ///
    /// # Shapes
    /// - q, output: `[N, H·C]`; k, v: `[N, K·C]`
    ///
    /// # Panics
    /// If there are columns without a cache, or whole rows with one.
    pub fn attend(
        &self,
        qkv: [Tensor<B, 2>; 3],
        heads: Heads,
        dropout: &Dropout,
        cache: Option<&mut LayerCache<B>>,
    ) -> Tensor<B, 2> {
        match (&self.slots, cache) {
            (Slots::Rows(rows), None) => B::attend(qkv, heads, dropout, rows, &self.masks),
            (Slots::Columns(columns), Some(cache)) => {
                cache.attend(qkv, heads, columns, &self.masks)
            }
            _ => panic!("columns are those of a cache, and rows have none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_the_end_of_the_padding() {
        let columns = Columns {
            padding: vec![0, 2],
            past: 0,
            width: 3,
        };
        assert_eq!(columns.positions(), [0, 1, 2, 0, 0, 0]);
        let next = Columns {
            past: 3,
            width: 1,
            ..columns
        };
        assert_eq!(next.positions(), [3, 1]);
    }
}
