//! What attention does not see, as numbers added to its scores: made once for all blocks of a batch.

use std::cell::{OnceCell, RefCell};

use burn::tensor::{Bool, DType, Int, Tensor, TensorData, backend::Backend};

use crate::{Rows, Sight, cast};

/// Added to the scores of what a token does not see; their softmax is exactly zero in f32.
const UNSEEN: f32 = -1e30;

/// The masks of one batch: made by the first block that needs them, and kept for the others.
#[derive(Clone, Debug)]
pub struct Masks<B: Backend> {
    grid: OnceCell<Grid<B>>,
    /// Of each sight that a block has had.
    biases: RefCell<Vec<(Sight, Option<Tensor<B, 4>>)>>,
}

impl<B: Backend> Default for Masks<B> {
    fn default() -> Self {
        Self {
            grid: OnceCell::new(),
            biases: RefCell::default(),
        }
    }
}

impl<B: Backend> Masks<B> {
    /// How the rows of the batch lie in a rectangle.
    pub(crate) fn grid(&self, rows: &Rows, device: &B::Device) -> &Grid<B> {
        self.grid.get_or_init(|| Grid::new(rows, device))
    }

    /// The scores of what blocks with this sight do not see.
    pub(crate) fn bias(
        &self,
        sight: Sight,
        make: impl FnOnce() -> Option<Tensor<B, 4>>,
    ) -> Option<Tensor<B, 4>> {
        let mut biases = self.biases.borrow_mut();
        if let Some((_, bias)) = biases.iter().find(|(known, _)| *known == sight) {
            return bias.clone();
        }
        let bias = make();
        biases.push((sight, bias.clone()));
        bias
    }
}

/// The sum of what is there.
pub(crate) fn add<B: Backend>(
    a: Option<Tensor<B, 4>>,
    b: Option<Tensor<B, 4>>,
) -> Option<Tensor<B, 4>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn bias<B: Backend>(unseen: Tensor<B, 4, Bool>) -> Tensor<B, 4> {
    cast(unseen.float(), DType::F32) * UNSEEN
}

/// Scores of what queries at the columns `past..past + width` do not see of the columns up to their
/// end, `[1, 1, width, past + width]`; `None` where they see all.
pub(crate) fn sight_bias<B: Backend>(
    sight: Sight,
    [past, width]: [usize; 2],
    device: &B::Device,
) -> Option<Tensor<B, 4>> {
    let end = past + width;
    let Sight::Causal { window } = sight else {
        return None;
    };
    let window = window.filter(|&window| window < end);
    if width == 1 && window.is_none() {
        return None;
    }
    let range =
        |from: usize, to: usize| Tensor::<B, 1, Int>::arange(from as i64..to as i64, device);
    let from = range(past, end).reshape([1, 1, width, 1]);
    let to = range(0, end).reshape([1, 1, 1, end]);
    let distance = from.expand([1, 1, width, end]) - to.expand([1, 1, width, end]);
    let unseen = distance.clone().lower_elem(0);
    Some(bias(match window {
        Some(window) => unseen.bool_or(distance.greater_equal_elem(window as i64)),
        None => unseen,
    }))
}

/// Scores of columns of padding at the left, `[B, 1, 1, columns]`; `None` where there are none.
pub(crate) fn padding_bias<B: Backend>(
    padding: &[usize],
    columns: usize,
    device: &B::Device,
) -> Option<Tensor<B, 4>> {
    let row = |&padding: &usize| (0..columns).map(move |column| unseen(column < padding));
    let bias = || padding.iter().flat_map(row).collect();
    padding
        .iter()
        .any(|&padding| padding > 0)
        .then(|| from_host(bias(), [padding.len(), columns], device))
}

fn unseen(is_unseen: bool) -> f32 {
    if is_unseen { UNSEEN } else { 0.0 }
}

/// `[B, 1, 1, S]`.
fn from_host<B: Backend>(
    bias: Vec<f32>,
    [rows, columns]: [usize; 2],
    device: &B::Device,
) -> Tensor<B, 4> {
    let data = TensorData::new(bias, [rows, 1, 1, columns]);
    cast(Tensor::from_data(data, device), DType::F32)
}

/// Rows laid out as a rectangle of `[B, T]` slots.
#[derive(Clone, Debug)]
pub(crate) struct Grid<B: Backend> {
    pub(crate) size: [usize; 2],
    /// Scores of what belongs to no row or to another one, `[B, 1, 1, T]` or `[B, 1, T, T]`; `None` where
    /// a line of the rectangle is a row.
    pub(crate) bias: Option<Tensor<B, 4>>,
    /// Slot in `N` of each grid slot, and grid slot of each slot in `N`; `None` where they are the same.
    indices: Option<[Tensor<B, 1, Int>; 2]>,
}

impl<B: Backend> Grid<B> {
    fn new(rows: &Rows, device: &B::Device) -> Self {
        match rows.packed_size() {
            Some(size) => Self {
                size,
                bias: Some(segment_bias(rows, size, device)),
                indices: None,
            },
            None => Self::of_lines(rows, device),
        }
    }

    /// A line for each row, also where rows are packed.
    pub(crate) fn of_lines(rows: &Rows, device: &B::Device) -> Self {
        let (_, width) = rows.lines();
        let size = [rows.len(), width];
        let lengths = rows.lengths();
        let row = |&length: &usize| (0..width).map(move |slot| unseen(slot >= length));
        let bias = || lengths.iter().flat_map(row).collect();
        let is_padded = lengths.iter().any(|&length| length < width);
        let indices = rows.uniform_width().is_none().then(|| {
            let starts = rows.starts();
            let spread = (0..rows.len()).flat_map(|row| {
                let (start, length) = (starts[row], lengths[row]);
                // Padding repeats the row's first token: it is masked as a key and dropped as a query.
                (0..width).map(move |t| if t < length { start + t } else { start })
            });
            let collect = rows.spread(0, |row, position| row * width + position);
            [
                indices(spread, device),
                indices(collect.into_iter(), device),
            ]
        });
        Self {
            size,
            bias: is_padded.then(|| from_host(bias(), size, device)),
            indices,
        }
    }

    /// `[N, D]` to `[B·T, D]`.
    pub(crate) fn spread(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([spread, _]) => x.select(0, spread.clone()),
            None => x,
        }
    }

    /// `[B·T, D]` to `[N, D]`.
    pub(crate) fn collect(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([_, collect]) => x.select(0, collect.clone()),
            None => x,
        }
    }
}

/// Scores of tokens of other rows in the same pack, `[B, 1, T, T]`. Padding sees padding, so that it has
/// numbers.
fn segment_bias<B: Backend>(
    rows: &Rows,
    [packs, width]: [usize; 2],
    device: &B::Device,
) -> Tensor<B, 4> {
    let segments = rows.spread(rows.len(), |row, _| row);
    let segments = indices::<B>(segments.into_iter(), device);
    let grid = [packs, 1, width, width];
    let from = segments.clone().reshape([packs, 1, width, 1]).expand(grid);
    let to = segments.reshape([packs, 1, 1, width]).expand(grid);
    bias(from.not_equal(to))
}

fn indices<B: Backend>(
    slots: impl Iterator<Item = usize>,
    device: &B::Device,
) -> Tensor<B, 1, Int> {
    let slots: Vec<i32> = slots.map(|slot| slot as i32).collect();
    Tensor::from_data(slots.as_slice(), device)
}

#[cfg(test)]
mod tests {
    use burn_flex::{Flex, FlexDevice};

    use super::*;

    #[test]
    fn a_mask_is_made_once_for_all_blocks_with_the_same_sight() {
        let masks = Masks::<Flex>::default();
        let made = std::cell::Cell::new(0);
        let ask = |window| {
            let sight = Sight::Causal { window };
            masks.bias(sight, || {
                made.set(made.get() + 1);
                sight_bias(sight, [0, 4], &FlexDevice)
            })
        };
        let [all, near, again] = [None, Some(2), None].map(ask);
        assert_eq!(made.get(), 2);
        let numbers = |bias: Option<Tensor<Flex, 4>>| bias.map(Tensor::into_data);
        assert_eq!(numbers(all.clone()), numbers(again));
        assert_ne!(numbers(all), numbers(near));
    }

    #[test]
    fn the_rectangle_of_a_batch_is_made_once() {
        let masks = Masks::<Flex>::default();
        let rows = Rows::packed(vec![2, 1, 3], vec![2, 1], 4);
        let first: *const Grid<Flex> = masks.grid(&rows, &FlexDevice);
        assert!(std::ptr::eq(first, masks.grid(&rows, &FlexDevice)));
    }
}
