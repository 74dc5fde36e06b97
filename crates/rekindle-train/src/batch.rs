//! From tokenized rows to what a model reads.

use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_nn::{Input, Rows};

use crate::objective::Target;

/// A tokenized row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// Segment of each token.
    pub type_ids: Vec<u32>,
    /// What it is trained towards.
    pub target: Target,
    /// Its number among the rows of its files, from 1; 0 if it is from no file.
    pub number: usize,
}

/// How rows lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No padding: every slot is computed, so none is wasted. For CPUs.
    Ragged,
    /// Padded to the longest row, rounded up: shapes repeat, so kernels are compiled once. For GPUs.
    Padded {
        /// Widths are multiples of this.
        multiple: usize,
    },
}

impl Layout {
    /// Places rows of these lengths.
    pub fn rows(self, lengths: Vec<usize>) -> Rows {
        match self {
            Self::Ragged => Rows::ragged(lengths),
            Self::Padded { multiple } => Rows::padded(lengths, multiple),
        }
    }
}

/// Rows on a device.
#[derive(Debug)]
pub struct Batch<B: Backend> {
    /// Their tokens.
    pub input: Input<B>,
    /// Where each lies.
    pub rows: Rows,
    /// Slots of the tokens that have a tag, where targets are tags.
    pub tagged: Tensor<B, 1, Int>,
}

impl<B: Backend> Batch<B> {
    /// Moves rows to a device. The id of padding does not matter: nothing reads it.
    pub fn new(rows: &[&Row], layout: Layout, device: &B::Device) -> Self {
        let layout = layout.rows(rows.iter().map(|row| row.ids.len()).collect());
        let ids = layout.spread(0, |row, position| rows[row].ids[position]);
        let type_ids = layout.spread(0, |row, position| rows[row].type_ids[position]);
        let starts = layout.starts();
        let tagged: Vec<i32> = rows
            .iter()
            .zip(starts)
            .flat_map(|(row, start)| tagged_tokens(&row.target).map(move |token| start + token))
            .map(|slot| slot as i32)
            .collect();
        Self {
            input: Input::new(&ids, &type_ids, device),
            rows: layout,
            tagged: Tensor::from_data(tagged.as_slice(), device),
        }
    }
}

fn tagged_tokens(target: &Target) -> impl Iterator<Item = usize> {
    let tags = match target {
        Target::Tags(tags) => tags.as_slice(),
        Target::Class(_) | Target::Labels(_) | Target::Number(_) => &[],
    };
    tags.iter().filter_map(|tag| tag.token)
}
