//! Which rows a part has, in the memory that the held-out ones take.

use std::collections::HashSet;
use std::sync::Arc;

use rekindle_data::{Purpose, Seeded};

/// Some of the rows, in their order.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// All rows but these, which ascend.
    Without { total: usize, rows: Arc<[usize]> },
    /// These rows, which ascend.
    Only(Arc<[usize]>),
}

impl Part {
    pub(super) fn all(total: usize) -> Self {
        let rows = Arc::default();
        Self::Without { total, rows }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Without { total, rows } => total - rows.len(),
            Self::Only(rows) => rows.len(),
        }
    }

    /// The number of a row among all.
    pub(super) fn number(&self, index: usize) -> usize {
        assert!(index < self.len(), "row {index} of {}", self.len());
        match self {
            Self::Only(rows) => rows[index],
            Self::Without { rows, .. } => index + before(rows, index),
        }
    }

    /// The rows that are kept and those that are held out.
    pub(super) fn split(&self, fraction: f64, most: usize, seed: u64) -> [Self; 2] {
        let chosen = choose(self.len(), held_out(self.len(), fraction, most), seed);
        let held_out: Arc<[usize]> = chosen.iter().map(|index| self.number(*index)).collect();
        let kept = match self {
            Self::Without { total, rows } => {
                let mut rows = [&**rows, &*held_out].concat();
                rows.sort_unstable();
                Self::Without {
                    total: *total,
                    rows: rows.into(),
                }
            }
            Self::Only(rows) => {
                let rows = rows.iter().copied();
                Self::Only(
                    rows.filter(|row| held_out.binary_search(row).is_err())
                        .collect(),
                )
            }
        };
        [kept, Self::Only(held_out)]
    }
}

/// How many of the left-out rows come before the row that is number `index` without them.
fn before(rows: &[usize], index: usize) -> usize {
    let (mut least, mut most) = (0, rows.len());
    while least < most {
        let middle = usize::midpoint(least, most);
        // So many rows that are kept come before this one that is not.
        if rows[middle] - middle <= index {
            least = middle + 1;
        } else {
            most = middle;
        }
    }
    least
}

fn held_out(total: usize, fraction: f64, most: usize) -> usize {
    if fraction <= 0.0 {
        return 0;
    }
    let rounded = (fraction * total as f64).round() as usize;
    rounded.max(1).min(most).min(total.saturating_sub(1))
}

/// So many different numbers below `total`, ascending (Floyd's way, which needs no list of all).
fn choose(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = Seeded::new(seed, Purpose::Split, 0);
    let mut chosen = HashSet::new();
    for last in total - count..total {
        let number = random.below(last + 1);
        if !chosen.insert(number) {
            chosen.insert(last);
        }
    }
    let mut chosen: Vec<_> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(part: &Part) -> Vec<usize> {
        (0..part.len()).map(|index| part.number(index)).collect()
    }

    #[test]
    fn each_row_is_in_one_part() {
        for (total, fraction) in [
            (1, 0.5),
            (2, 0.1),
            (10, 0.3),
            (57, 0.1),
            (57, 1.0),
            (9, 0.0),
        ] {
            let [train, valid] = Part::all(total).split(fraction, 100, 3);
            let expected = (fraction * total as f64).round() as usize;
            let least = usize::from(fraction > 0.0);
            assert_eq!(valid.len(), expected.max(least).min(total - 1), "{total}");
            let mut all = [numbers(&train), numbers(&valid)].concat();
            assert!(numbers(&train).is_sorted() && numbers(&valid).is_sorted());
            all.sort_unstable();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn parts_are_split_again() {
        let [train, valid] = Part::all(100).split(0.2, 1000, 1);
        let [first, second] = train.split(0.25, 1000, 2);
        let [third, fourth] = valid.split(0.5, 1000, 2);
        assert_eq!(
            [first.len(), second.len(), third.len(), fourth.len()],
            [60, 20, 10, 10]
        );
        let mut all = [first, second, third, fourth]
            .map(|part| numbers(&part))
            .concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_are_held_out_than_asked_for_and_the_seed_decides_which() {
        let [train, valid] = Part::all(1_000_000).split(0.1, 1000, 1);
        assert_eq!((train.len(), valid.len()), (999_000, 1000));
        let again = Part::all(1_000_000).split(0.1, 1000, 1);
        let other = Part::all(1_000_000).split(0.1, 1000, 2);
        assert_eq!(numbers(&valid), numbers(&again[1]));
        assert_ne!(numbers(&valid), numbers(&other[1]));
        // They lie all over the rows.
        let early = numbers(&valid).iter().filter(|row| **row < 500_000).count();
        assert!((400..600).contains(&early), "{early}");
    }
}
