//! Which rows make up which batch.

mod packing;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use self::packing::first_fit;
use crate::{Purpose, Seeded};

pub use self::packing::packs;

/// How rows are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Batching {
    /// Random, with rows of about the same length in one batch: the least padding.
    #[default]
    Bucketed,
    /// Random.
    Shuffled,
    /// As in the file.
    Sequential,
}

/// The batches of every epoch, as a pure function of seed and epoch.
///
/// Every row is in one batch of each epoch; the last batch of a cut may be smaller.
#[derive(Clone, Debug)]
pub struct BatchPlan {
    lengths: Vec<usize>,
    batching: Batching,
    batch_size: usize,
    seed: u64,
    packs: Option<Vec<Vec<usize>>>,
}

impl BatchPlan {
    /// A plan for rows of these lengths.
    ///
    /// # Panics
    /// If `batch_size` is zero.
    pub fn new(lengths: Vec<usize>, batching: Batching, batch_size: usize, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch holds at least one row");
        Self {
            lengths,
            batching,
            batch_size,
            seed,
            packs: None,
        }
    }

    /// The same plan with rows in packs of at most `capacity` tokens; a batch then is so many packs.
    ///
    /// Packs are made once, from the order of the file or a random one, and only their order changes from
    /// epoch to epoch: so every epoch has the same number of batches. Rows follow each other pack by pack,
    /// and [`packs`] over their lengths tells where each pack ends. Packs are of about one length, so there
    /// are no buckets.
    #[must_use]
    pub fn packed(mut self, capacity: usize) -> Self {
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        if self.batching != Batching::Sequential {
            Seeded::new(self.seed, Purpose::Packing, 0).shuffle(&mut rows);
        }
        self.packs = Some(first_fit(&rows, &self.lengths, capacity));
        self
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        let units = self.packs.as_ref().map_or(self.lengths.len(), Vec::len);
        units.div_ceil(self.batch_size)
    }

    /// The batches of one epoch, each a list of row numbers.
    pub fn epoch(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut random = Seeded::new(self.seed, Purpose::Order, epoch as u64);
        if let Some(packs) = &self.packs {
            return self.epoch_of_packs(packs, random);
        }
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        if self.batching != Batching::Sequential {
            random.shuffle(&mut rows);
        }
        if self.batching == Batching::Bucketed {
            for bucket in rows.chunks_mut(self.bucket_size()) {
                bucket.sort_by_key(|row| Reverse(self.lengths[*row]));
            }
        }
        let mut batches: Vec<_> = rows.chunks(self.batch_size).map(<[_]>::to_vec).collect();
        if self.batching == Batching::Bucketed {
            random.shuffle(&mut batches);
            self.longest_first(&mut batches);
        }
        batches
    }

    fn epoch_of_packs(&self, packs: &[Vec<usize>], mut random: Seeded) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..packs.len()).collect();
        if self.batching != Batching::Sequential {
            random.shuffle(&mut order);
        }
        let batches = order.chunks_mut(self.batch_size).map(|batch| {
            // In the order in which they were made, no pack takes in the first row of the next.
            batch.sort_unstable();
            batch
                .iter()
                .flat_map(|pack| packs[*pack].iter().copied())
                .collect()
        });
        batches.collect()
    }

    /// Rows that are sorted by length together: 50 batches, fewer in a small set so that it has at
    /// least four buckets and rows keep meeting new neighbors (`group_by_length` of transformers).
    fn bucket_size(&self) -> usize {
        let batches = self.lengths.len() / (self.batch_size * 4);
        self.batch_size * batches.clamp(1, 50)
    }

    /// The longest row comes in the first batch: a lack of memory shows at once.
    fn longest_first(&self, batches: &mut [Vec<usize>]) {
        let longest = |batch: &Vec<usize>| batch.iter().map(|row| self.lengths[*row]).max();
        let first_longest = (0..batches.len()).max_by_key(|k| (longest(&batches[*k]), Reverse(*k)));
        if let Some(k) = first_longest {
            batches.swap(0, k);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Batching; 3] = [Batching::Bucketed, Batching::Shuffled, Batching::Sequential];

    fn plan(rows: usize, batching: Batching, batch_size: usize) -> BatchPlan {
        let lengths = (0..rows).map(|row| row * 37 % 101 + 1).collect();
        BatchPlan::new(lengths, batching, batch_size, 42)
    }

    #[test]
    fn every_row_comes_once_in_each_epoch() {
        for batching in ALL {
            for (rows, batch_size) in [(1003, 16), (5, 16), (16, 16), (1, 1), (33, 1)] {
                let plan = plan(rows, batching, batch_size);
                for epoch in 0..3 {
                    let batches = plan.epoch(epoch);
                    assert_eq!(batches.len(), plan.batches_per_epoch());
                    assert!(batches.iter().all(|batch| batch.len() <= batch_size));
                    let mut all = batches.concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..rows).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn packed_rows_come_once_and_their_packs_are_found_again() {
        for batching in ALL {
            for (rows, batch_size, capacity) in
                [(1003, 4, 256), (5, 2, 300), (33, 1, 101), (7, 3, 1)]
            {
                let plan = plan(rows, batching, batch_size).packed(capacity);
                let mut made = plan.packs.clone().unwrap();
                made.sort();
                for epoch in 0..3 {
                    let batches = plan.epoch(epoch);
                    assert_eq!(batches.len(), plan.batches_per_epoch());
                    let mut all = batches.concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..rows).collect::<Vec<_>>());
                    let mut found: Vec<Vec<usize>> = Vec::new();
                    for batch in batches {
                        let lengths: Vec<_> = batch.iter().map(|row| plan.lengths[*row]).collect();
                        let counts = packs(&lengths, capacity);
                        assert!(counts.len() <= batch_size);
                        let mut rest = batch.as_slice();
                        for count in counts {
                            let (pack, after) = rest.split_at(count);
                            found.push(pack.to_vec());
                            rest = after;
                        }
                    }
                    found.sort();
                    assert_eq!(found, made);
                }
            }
        }
    }

    #[test]
    fn packs_are_nearly_full_and_their_order_changes() {
        let plan = plan(1003, Batching::Shuffled, 4).packed(512);
        let tokens: usize = plan.lengths.iter().sum();
        let packs = plan.packs.as_ref().unwrap().len();
        assert!(tokens * 100 > packs * 512 * 98, "{packs} packs");
        assert_ne!(plan.epoch(0), plan.epoch(1));
        assert_eq!(plan.epoch(1), plan.clone().epoch(1));
    }

    #[test]
    fn no_rows_make_no_batches() {
        for batching in ALL {
            assert!(plan(0, batching, 4).epoch(0).is_empty());
            assert!(plan(0, batching, 4).packed(8).epoch(0).is_empty());
        }
    }

    #[test]
    fn an_epoch_depends_on_seed_and_epoch_only() {
        for batching in [Batching::Bucketed, Batching::Shuffled] {
            let plan = plan(200, batching, 8);
            assert_eq!(plan.epoch(3), plan.clone().epoch(3));
            assert_ne!(plan.epoch(3), plan.epoch(4));
            let other = BatchPlan {
                seed: 43,
                ..plan.clone()
            };
            assert_ne!(plan.epoch(3), other.epoch(3));
        }
    }

    #[test]
    fn sequential_keeps_the_order_of_the_file() {
        let batches = plan(7, Batching::Sequential, 3).epoch(5);
        assert_eq!(batches, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    }

    #[test]
    fn the_first_bucketed_batch_holds_the_longest_row() {
        let mut plan = plan(1003, Batching::Bucketed, 16);
        plan.lengths[700] = 5000;
        for epoch in 0..5 {
            assert!(plan.epoch(epoch)[0].contains(&700));
        }
    }

    #[test]
    fn bucketed_batches_waste_a_fraction_of_the_padding() {
        let padding = |batching| -> usize {
            let plan = plan(1003, batching, 16);
            let padding = |batch: Vec<usize>| {
                let lengths = batch.iter().map(|row| plan.lengths[*row]);
                let longest = lengths.clone().max().unwrap();
                lengths.map(|length| longest - length).sum::<usize>()
            };
            plan.epoch(0).into_iter().map(padding).sum()
        };
        assert!(padding(Batching::Bucketed) * 5 < padding(Batching::Shuffled));
    }

    #[test]
    fn the_order_of_a_seed_never_changes() {
        let batches = plan(10, Batching::Bucketed, 3).epoch(1);
        assert_eq!(
            batches,
            [vec![8, 7, 3], vec![4, 9, 0], vec![5], vec![2, 1, 6]]
        );
    }
}
