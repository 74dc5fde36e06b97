//! Counts of repeated rows, within one set and between two.

use std::collections::HashSet;
use std::hash::Hash;

/// How many rows repeat an earlier one.
pub fn duplicates<T: Eq + Hash>(rows: impl IntoIterator<Item = T>) -> usize {
    let mut seen = HashSet::new();
    rows.into_iter()
        .map(|row| seen.insert(row))
        .filter(|new| !new)
        .count()
}

/// How many rows of `valid` also stand in `train`.
pub fn overlap<T: Eq + Hash>(
    train: impl IntoIterator<Item = T>,
    valid: impl IntoIterator<Item = T>,
) -> usize {
    let train: HashSet<T> = train.into_iter().collect();
    valid.into_iter().filter(|row| train.contains(row)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_beyond_the_first() {
        assert_eq!(duplicates(["a", "b", "a", "a", "c"]), 2);
        assert_eq!(duplicates::<&str>([]), 0);
    }

    #[test]
    fn overlap_counts_rows_of_valid() {
        assert_eq!(overlap(["a", "b", "b"], ["b", "b", "c"]), 2);
        assert_eq!(overlap(["a"], ["b"]), 0);
    }
}
