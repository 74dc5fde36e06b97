//! Texts whose tokens are hidden, anew in each epoch.

use std::borrow::Cow;

use rekindle_data::{Draw, Masked, Masker};

use crate::batch::{Row, RowFailure, RowSource};
use crate::objective::Target;

impl Row {
    /// A text some of whose tokens are hidden, and to be given back; it has no target if all of its tokens
    /// are special.
    pub fn masked(ids: &[u32], masker: &Masker, draw: Draw) -> Self {
        let Masked { ids, hidden } = masker.mask(ids, draw);
        Self {
            type_ids: vec![0; ids.len()],
            ids,
            target: Target::Masked(hidden),
            number: draw.row as usize + 1,
        }
    }
}

/// Texts in memory as rows to learn from.
#[derive(Clone, Debug)]
pub struct MaskedTexts {
    /// Their tokens, special ones included; each has one that is not.
    pub texts: Vec<Vec<u32>>,
    /// Hides tokens.
    pub masker: Masker,
    /// The run's seed.
    pub seed: u64,
}

impl RowSource for MaskedTexts {
    fn len(&self) -> usize {
        self.texts.len()
    }

    fn length(&self, index: usize) -> usize {
        self.texts[index].len()
    }

    fn row(&self, index: usize, epoch: usize) -> Result<Cow<'_, Row>, RowFailure> {
        let draw = Draw {
            seed: self.seed,
            epoch: epoch as u64,
            row: index as u64,
        };
        Ok(Cow::Owned(Row::masked(
            &self.texts[index],
            &self.masker,
            draw,
        )))
    }
}
