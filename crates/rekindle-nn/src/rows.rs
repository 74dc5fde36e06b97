//! Where the rows of a batch lie among its tokens.

use crate::Noise;

/// Host-side description of a batch whose hidden states are `[N, D]`.
///
/// Rows are either *ragged* (one after the other, nothing between them) or *padded* (each takes
/// `width` slots, its tokens first). `N` is the number of slots. Masks come from lengths, never from
/// token ids, so a real token that equals the padding id is attended and trained like any other.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    lengths: Vec<usize>,
    width: Option<usize>,
    noise: Option<Noise>,
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
            width: None,
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
            width: Some(width),
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
        match self.width {
            Some(width) => width * self.lengths.len(),
            None => self.lengths.iter().sum(),
        }
    }

    /// Slots that one row takes when all rows take the same number of them.
    pub fn uniform_width(&self) -> Option<usize> {
        self.width.or_else(|| {
            let first = self.lengths[0];
            self.lengths
                .iter()
                .all(|&length| length == first)
                .then_some(first)
        })
    }

    /// The slot at which each row begins.
    pub fn starts(&self) -> Vec<usize> {
        if let Some(width) = self.width {
            return (0..self.lengths.len()).map(|row| row * width).collect();
        }
        let starts = self.lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end - length)
        });
        starts.collect()
    }

    /// Position of each slot in its row, counted from 0; padding slots have position 0.
    pub fn positions(&self) -> Vec<usize> {
        self.spread(0, |_, position| position)
    }

    /// One value per slot: `value(row, position)` where there is a token, `padding` elsewhere.
    pub fn spread<T: Clone>(&self, padding: T, value: impl Fn(usize, usize) -> T) -> Vec<T> {
        let mut slots = Vec::with_capacity(self.num_slots());
        for (row, &length) in self.lengths.iter().enumerate() {
            slots.extend((0..length).map(|position| value(row, position)));
            let padded = self.width.map_or(0, |width| width - length);
            slots.extend(std::iter::repeat_n(padding.clone(), padded));
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
    fn equal_lengths_are_uniform_without_padding() {
        assert_eq!(Rows::ragged(vec![5, 5]).uniform_width(), Some(5));
    }

    #[test]
    #[should_panic(expected = "at least one token")]
    fn a_row_without_a_token_is_refused() {
        let _ = Rows::ragged(vec![2, 0]);
    }
}
