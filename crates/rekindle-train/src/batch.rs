//! From tokenized rows to what a model reads.

use std::borrow::Cow;
use std::error::Error;

use burn::tensor::{Int, Tensor, backend::Backend};
use rekindle_data::packs;
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

/// Rows to learn from, each made shortly before a step needs it, on another thread: they may be more than
/// memory holds, or differ from epoch to epoch.
pub trait RowSource: Sync {
    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of a row.
    fn length(&self, index: usize) -> usize;

    /// Whether rows are the same in each epoch.
    fn are_fixed(&self) -> bool {
        false
    }

    /// A row as it is in an epoch, counted from 0.
    fn row(&self, index: usize, epoch: usize) -> Result<Cow<'_, Row>, RowFailure>;
}

/// Why a row could not be made.
pub type RowFailure = Box<dyn Error + Send + Sync>;

impl<T: AsRef<[Row]> + Sync> RowSource for T {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    fn length(&self, index: usize) -> usize {
        self.as_ref()[index].ids.len()
    }

    fn are_fixed(&self) -> bool {
        true
    }

    fn row(&self, index: usize, _epoch: usize) -> Result<Cow<'_, Row>, RowFailure> {
        Ok(Cow::Borrowed(&self.as_ref()[index]))
    }
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
    /// Several rows in the room of a longest one, rounded up.
    Packed {
        /// Tokens of a room.
        capacity: usize,
        /// Widths are multiples of this.
        multiple: usize,
    },
}

impl Layout {
    /// The same for packed rows; without padding, rows need no packs.
    #[must_use]
    pub fn packed(self, capacity: usize) -> Self {
        match self {
            Self::Ragged => Self::Ragged,
            Self::Padded { multiple } | Self::Packed { multiple, .. } => {
                Self::Packed { capacity, multiple }
            }
        }
    }

    /// Places rows of these lengths.
    pub fn rows(self, lengths: Vec<usize>) -> Rows {
        match self {
            Self::Ragged => Rows::ragged(lengths),
            Self::Padded { multiple } => Rows::padded(lengths, multiple),
            Self::Packed { capacity, multiple } => {
                let packs = packs(&lengths, capacity);
                Rows::packed(lengths, packs, multiple)
            }
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
    /// Slots whose states are scored, where targets are tags, tokens or words: those of the tokens that have
    /// a tag or a word, or are hidden, or of those before the target tokens.
    pub scored: Tensor<B, 1, Int>,
    /// Ids and weights of the target tokens, one for each scored slot; empty for other targets.
    pub next: Vec<(u32, f32)>,
}

impl<B: Backend> Batch<B> {
    /// Moves rows to a device. The id of padding does not matter: nothing reads it.
    pub fn new(rows: &[&Row], layout: Layout, device: &B::Device) -> Self {
        let layout = layout.rows(rows.iter().map(|row| row.ids.len()).collect());
        let ids = layout.spread(0, |row, position| rows[row].ids[position]);
        let type_ids = layout.spread(0, |row, position| rows[row].type_ids[position]);
        let slots = rows.iter().zip(layout.starts());
        let scored: Vec<i32> = slots
            .flat_map(|(row, start)| scored_tokens(&row.target).map(move |token| start + token))
            .map(|slot| slot as i32)
            .collect();
        let next = rows.iter().flat_map(|row| next_tokens(row)).collect();
        Self {
            input: Input::new(&ids, &type_ids, device),
            rows: layout,
            scored: Tensor::from_data(scored.as_slice(), device),
            next,
        }
    }
}

/// Positions in a row whose states are scored.
fn scored_tokens(target: &Target) -> Box<dyn Iterator<Item = usize> + '_> {
    match target {
        Target::Tags(tags) => Box::new(tags.iter().filter_map(|tag| tag.token)),
        Target::Tokens(weights) => Box::new(counted(weights).map(|(token, _)| token - 1)),
        Target::Masked(hidden) => Box::new(hidden.iter().map(|token| token.position)),
        Target::Words(words) => Box::new(words.positions()),
        Target::Class(_) | Target::Labels(_) | Target::Number(_) | Target::Vector(_) => {
            Box::new(std::iter::empty())
        }
    }
}

/// The target tokens of a row with their weights.
fn next_tokens(row: &Row) -> Box<dyn Iterator<Item = (u32, f32)> + '_> {
    match &row.target {
        Target::Tokens(weights) => {
            Box::new(counted(weights).map(|(token, weight)| (row.ids[token], weight)))
        }
        Target::Masked(hidden) => Box::new(hidden.iter().map(|token| (token.id, 1.0))),
        _ => Box::new(std::iter::empty()),
    }
}

fn counted(weights: &[f32]) -> impl Iterator<Item = (usize, f32)> {
    let weights = weights.iter().copied().enumerate();
    weights.filter(|(_, weight)| *weight > 0.0)
}
