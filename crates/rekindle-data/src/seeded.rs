//! Random numbers that stay the same across machines, runs and versions of crates.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for; each purpose has streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which rows are held out for validation.
    Split,
    /// The order of the rows of an epoch.
    Order,
    /// Which rows share a pack.
    Packing,
    /// Which tokens of a row are hidden.
    Mask,
}

/// A stream of random numbers, a pure function of seed, purpose and index.
///
/// `ChaCha` with 8 rounds is a fixed standard, and shuffling is written here rather than taken from a
/// crate, so that an upgrade never changes which rows a seed chooses.
#[derive(Clone, Debug)]
pub struct Seeded(ChaCha8Rng);

impl Seeded {
    /// The stream number `index` (for instance the epoch) of a purpose.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self::at(seed, purpose, [index, 0])
    }

    /// The stream of a purpose at two indices, for instance the epoch and the row.
    pub fn at(seed: u64, purpose: Purpose, [index, other]: [u64; 2]) -> Self {
        let purpose: u64 = match purpose {
            Purpose::Split => 1,
            Purpose::Order => 2,
            Purpose::Packing => 3,
            Purpose::Mask => 4,
        };
        let mut key = [0; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, purpose, index, other]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number below `bound`; the bias is less than `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number of at least 0 and below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts items in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, purpose: Purpose, index: u64) -> Vec<usize> {
        let mut items: Vec<_> = (0..10).collect();
        Seeded::new(seed, purpose, index).shuffle(&mut items);
        items
    }

    #[test]
    fn a_seed_gives_the_same_order_for_ever() {
        assert_eq!(order(42, Purpose::Order, 0), [8, 5, 7, 0, 6, 3, 9, 1, 2, 4]);
    }

    #[test]
    fn seed_purpose_and_index_each_change_the_order() {
        let orders = [
            order(42, Purpose::Order, 0),
            order(43, Purpose::Order, 0),
            order(42, Purpose::Split, 0),
            order(42, Purpose::Order, 1),
        ];
        for (k, order) in orders.iter().enumerate() {
            assert!(!orders[..k].contains(order));
        }
    }

    #[test]
    fn every_position_is_about_equally_likely() {
        let mut counts = [0_u32; 5];
        for index in 0..5000 {
            let mut items = [0, 1, 2, 3, 4];
            Seeded::new(7, Purpose::Order, index).shuffle(&mut items);
            counts[items[0]] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }
}
