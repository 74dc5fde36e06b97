//! Holding out rows for validation, class by class.

use std::collections::BTreeMap;

use crate::{Purpose, Seeded};

/// Row numbers of the two parts, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows held out.
    pub valid: Vec<usize>,
}

/// One class while the held-out rows are dealt.
struct Class {
    rows: Vec<usize>,
    quota: f64,
    held_out: usize,
}

impl Class {
    /// A class never gives its last row away: a label that training never saw cannot be evaluated.
    fn can_give(&self) -> bool {
        self.held_out + 1 < self.rows.len()
    }

    fn still_owes(&self) -> f64 {
        self.quota - self.held_out as f64
    }
}

/// Holds out `round(fraction * n)` rows, as evenly over the classes as whole rows allow.
///
/// `keys` is the class of each row; a constant key makes a plain random split. At least one row is
/// held out if `fraction` is positive and some class has two rows; a class with one row stays in
/// `train`. What whole rows leave over goes to the largest remainders.
pub fn stratified_split<K: Ord>(keys: &[K], fraction: f64, seed: u64) -> Split {
    let mut classes: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for (row, key) in keys.iter().enumerate() {
        classes.entry(key).or_default().push(row);
    }
    let mut classes: Vec<Class> = classes
        .into_values()
        .map(|rows| Class {
            quota: fraction * rows.len() as f64,
            held_out: 0,
            rows,
        })
        .collect();
    deal(&mut classes, held_out(keys.len(), fraction));

    let mut random = Seeded::new(seed, Purpose::Split, 0);
    let mut split = Split {
        train: Vec::new(),
        valid: Vec::new(),
    };
    for class in &mut classes {
        random.shuffle(&mut class.rows);
        let (valid, train) = class.rows.split_at(class.held_out);
        split.valid.extend(valid);
        split.train.extend(train);
    }
    split.train.sort_unstable();
    split.valid.sort_unstable();
    split
}

fn held_out(rows: usize, fraction: f64) -> usize {
    let rounded = (fraction * rows as f64).round() as usize;
    if fraction > 0.0 { rounded.max(1) } else { 0 }
}

fn deal(classes: &mut [Class], total: usize) {
    let mut left = total;
    for class in classes.iter_mut() {
        let most = class.rows.len().saturating_sub(1);
        class.held_out = (class.quota.floor() as usize).min(most).min(left);
        left -= class.held_out;
    }
    while left > 0 {
        let givers = classes.iter_mut().filter(|class| class.can_give());
        let Some(class) = givers.max_by(|a, b| a.still_owes().total_cmp(&b.still_owes())) else {
            return;
        };
        class.held_out += 1;
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(keys: &[&str], rows: &[usize], key: &str) -> usize {
        rows.iter().filter(|row| keys[**row] == key).count()
    }

    #[test]
    fn classes_keep_their_proportions() {
        let keys: Vec<&str> = (0..100)
            .map(|row| match row % 10 {
                0 => "rare",
                1..=3 => "some",
                _ => "many",
            })
            .collect();
        let split = stratified_split(&keys, 0.2, 1);
        assert_eq!(split.valid.len(), 20);
        assert_eq!(count(&keys, &split.valid, "rare"), 2);
        assert_eq!(count(&keys, &split.valid, "some"), 6);
        assert_eq!(count(&keys, &split.valid, "many"), 12);
    }

    #[test]
    fn every_row_is_in_one_part_and_parts_are_ascending() {
        let keys: Vec<usize> = (0..57).map(|row| row % 7).collect();
        let split = stratified_split(&keys, 0.1, 3);
        assert!(split.train.is_sorted() && split.valid.is_sorted());
        let mut all = [split.train, split.valid].concat();
        all.sort_unstable();
        assert_eq!(all, (0..57).collect::<Vec<_>>());
    }

    #[test]
    fn remainders_make_up_the_total() {
        let keys: Vec<usize> = (0..57).map(|row| row % 7).collect();
        assert_eq!(stratified_split(&keys, 0.1, 3).valid.len(), 6);
    }

    #[test]
    fn a_class_with_one_row_stays_in_train() {
        let keys = ["a", "b", "a", "c", "a", "a"];
        for seed in 0..20 {
            let split = stratified_split(&keys, 0.5, seed);
            assert_eq!(split.valid.len(), 3);
            assert!(split.valid.iter().all(|row| keys[*row] == "a"));
        }
    }

    #[test]
    fn a_small_fraction_still_holds_out_one_row() {
        assert_eq!(stratified_split(&[0, 0], 0.01, 1).valid.len(), 1);
        assert_eq!(stratified_split(&[0], 0.5, 1).valid.len(), 0);
        assert_eq!(stratified_split(&[0, 1], 0.5, 1).valid.len(), 0);
        assert_eq!(stratified_split(&[0; 9], 0.0, 1).valid.len(), 0);
    }

    #[test]
    fn train_is_never_emptied() {
        assert_eq!(stratified_split(&[0; 5], 1.0, 1).train.len(), 1);
    }

    #[test]
    fn the_seed_decides() {
        let keys = [0; 50];
        let split = stratified_split(&keys, 0.2, 1);
        assert_eq!(split, stratified_split(&keys, 0.2, 1));
        assert_ne!(split, stratified_split(&keys, 0.2, 2));
    }
}
