//! Where the rows of a batch lie among its tokens.

use crate::Noise;

/// Host-side description of a batch whose hidden states are `[N, D]`.
///
/// Rows are *ragged* (one after the other, nothing between them), *padded* (each takes `width` slots, its
/// tokens first) or *packed* (several one after the other share `width` slots, and do not see each other).
/// `N` is the number of slots. Masks come from lengths, never from token ids, so a real token that equals
/// the padding id is attended and trained like any other.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    lengths: Vec<usize>,
    layout: Layout,
    noise: Option<Noise>,
}

#[derive(Clone, Debug, PartialEq)]
enum Layout {
    Ragged,
    Padded {
        width: usize,
    },
    Packed {
        width: usize,
        /// Rows of each pack.
        packs: Vec<usize>,
    },
}

impl Rows {
    /// Rows one after the other, without padding.
    ///
    /// # Panics
    /// If there is no row, or a row without a token: neither has a result.
    pub fn ragged(lengths: Vec<usize>) -> Self {
        assert!(!lengths.is_empty(), "a batch has at least one row");
        assert!(
            lengths.iter().all(|&length| length > 0),
            "a row has at least one token"
        );
        Self {
            lengths,
            layout: Layout::Ragged,
            noise: None,
        }
    }

    /// Rows padded on the right to the longest one, rounded up to a multiple of `multiple`.
    ///
    /// # Panics
    /// As [`Rows::ragged`], and if `multiple` is zero.
    pub fn padded(lengths: Vec<usize>, multiple: usize) -> Self {
        let rows = Self::ragged(lengths);
        let width = rows.longest().next_multiple_of(multiple);
        Self {
            layout: Layout::Padded { width },
            ..rows
        }
    }

    /// Rows packed in order, `packs[i]` of them into pack `i`; each pack is padded on the right to the
    /// longest one, rounded up to a multiple of `multiple`.
    ///
    /// # Panics
    /// As [`Rows::padded`], and if the packs do not hold exactly these rows, or one holds none.
    pub fn packed(lengths: Vec<usize>, packs: Vec<usize>, multiple: usize) -> Self {
        let rows = Self::ragged(lengths);
        assert!(
            packs.iter().all(|&segments| segments > 0),
            "a pack has at least one row"
        );
        assert_eq!(
            packs.iter().sum::<usize>(),
            rows.len(),
            "each row is in a pack"
        );
        let ends = packs.iter().scan(0, |end, segments| {
            *end += segments;
            Some(rows.lengths[*end - segments..*end].iter().sum())
        });
        let longest: usize = ends.max().unwrap_or(0);
        let width = longest.next_multiple_of(multiple);
        Self {
            layout: Layout::Packed { width, packs },
            ..rows
        }
    }

    /// The same rows with dropout switched on, its masks drawn from `noise`.
    #[must_use]
    pub fn with_noise(self, noise: Noise) -> Self {
        Self {
            noise: Some(noise),
            ..self
        }
    }

    /// The source of dropout masks; `None` outside training.
    pub fn noise(&self) -> Option<Noise> {
        self.noise
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no row: never, by construction.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Tokens of each row, padding not counted.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Tokens of the longest row.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Slots of the batch: the `N` of its hidden states.
    pub fn num_slots(&self) -> usize {
        match &self.layout {
            Layout::Ragged => self.lengths.iter().sum(),
            Layout::Padded { width } => width * self.lengths.len(),
            Layout::Packed { width, packs } => width * packs.len(),
        }
    }

    /// Slots that one row takes when all rows take the same number of them; `None` for packed rows.
    pub fn uniform_width(&self) -> Option<usize> {
        match self.layout {
            Layout::Ragged => {
                let first = self.lengths[0];
                let is_uniform = self.lengths.iter().all(|&length| length == first);
                is_uniform.then_some(first)
            }
            Layout::Padded { width } => Some(width),
            Layout::Packed { .. } => None,
        }
    }

    /// Packs and slots of each, where rows are packed.
    pub(crate) fn packed_size(&self) -> Option<[usize; 2]> {
        match &self.layout {
            Layout::Packed { width, packs } => Some([packs.len(), *width]),
            Layout::Ragged | Layout::Padded { .. } => None,
        }
    }

    /// The slot at which each row begins.
    pub fn starts(&self) -> Vec<usize> {
        let starts = self.lengths.iter().zip(self.empty_after());
        let starts = starts.scan(0, |end, (length, empty)| {
            let start = *end;
            *end += length + empty;
            Some(start)
        });
        starts.collect()
    }

    /// Where each row begins in the grid of scores, by grid row and column, and the columns of that grid:
    /// those of the longest row, of a padded one, or of a pack.
    pub(crate) fn cells(&self) -> (Vec<[usize; 2]>, usize) {
        match &self.layout {
            Layout::Packed { width, .. } => {
                let cell = |start: usize| [start / width, start % width];
                (self.starts().into_iter().map(cell).collect(), *width)
            }
            Layout::Ragged | Layout::Padded { .. } => self.lines(),
        }
    }

    /// Where each row begins in a grid that has a line for each, and the columns of that grid.
    pub(crate) fn lines(&self) -> (Vec<[usize; 2]>, usize) {
        let width = match self.layout {
            Layout::Padded { width } => width,
            Layout::Ragged | Layout::Packed { .. } => self.longest(),
        };
        ((0..self.len()).map(|row| [row, 0]).collect(), width)
    }

    /// Slots of padding after each row.
    fn empty_after(&self) -> Vec<usize> {
        match &self.layout {
            Layout::Ragged => vec![0; self.lengths.len()],
            Layout::Padded { width } => self.lengths.iter().map(|length| width - length).collect(),
            Layout::Packed { width, packs } => {
                let mut empty = vec![0; self.lengths.len()];
                let mut first = 0;
                for segments in packs {
                    let last = first + segments - 1;
                    empty[last] = width - self.lengths[first..=last].iter().sum::<usize>();
                    first = last + 1;
                }
                empty
            }
        }
    }

    /// Position of each slot in its row, counted from 0; padding slots have position 0.
    pub fn positions(&self) -> Vec<usize> {
        self.spread(0, |_, position| position)
    }

    /// One value per slot: `value(row, position)` where there is a token, `padding` elsewhere.
    pub fn spread<T: Clone>(&self, padding: T, value: impl Fn(usize, usize) -> T) -> Vec<T> {
        let mut slots = Vec::with_capacity(self.num_slots());
        let rows = self.lengths.iter().zip(self.empty_after());
        for (row, (&length, empty)) in rows.enumerate() {
            slots.extend((0..length).map(|position| value(row, position)));
            slots.extend(std::iter::repeat_n(padding.clone(), empty));
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_rows_have_no_empty_slot() {
        let rows = Rows::ragged(vec![3, 1, 2]);
        assert_eq!(rows.num_slots(), 6);
        assert_eq!(rows.starts(), [0, 3, 4]);
        assert_eq!(rows.positions(), [0, 1, 2, 0, 0, 1]);
        assert_eq!(rows.uniform_width(), None);
    }

    #[test]
    fn padded_rows_start_at_multiples_of_the_width() {
        let rows = Rows::padded(vec![3, 1], 4);
        assert_eq!(rows.num_slots(), 8);
        assert_eq!(rows.starts(), [0, 4]);
        assert_eq!(
            rows.spread(9, |row, position| row * 4 + position),
            [0, 1, 2, 9, 4, 9, 9, 9]
        );
    }

    #[test]
    fn packed_rows_follow_each_other_and_restart_their_positions() {
        let rows = Rows::packed(vec![2, 1, 4, 1], vec![2, 2], 4);
        assert_eq!(rows.num_slots(), 16);
        assert_eq!(rows.starts(), [0, 2, 8, 12]);
        assert_eq!(
            rows.positions(),
            [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]
        );
        assert_eq!(
            rows.spread(9, |row, _| row),
            [0, 0, 1, 9, 9, 9, 9, 9, 2, 2, 2, 2, 3, 9, 9, 9]
        );
        assert_eq!(rows.uniform_width(), None);
    }

    #[test]
    #[should_panic(expected = "each row is in a pack")]
    fn a_row_outside_the_packs_is_refused() {
        let _ = Rows::packed(vec![2, 1], vec![1], 1);
    }

    #[test]
    fn equal_lengths_are_uniform_without_padding() {
        assert_eq!(Rows::ragged(vec![5, 5]).uniform_width(), Some(5));
    }

    #[test]
    #[should_panic(expected = "at least one token")]
    fn a_row_without_a_token_is_refused() {
        let _ = Rows::ragged(vec![2, 0]);
    }
}
