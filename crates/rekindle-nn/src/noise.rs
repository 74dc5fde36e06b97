//! Counter-based random numbers for dropout.
//!
//! A mask is a pure function of (seed, step, site, element): resuming a run or recomputing a block
//! needs no generator state, and every backend draws the same mask.

/// Where in a run a forward pass stands; the key of its dropout masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u64,
    /// The micro-batch within the step.
    pub micro_batch: u64,
}

impl Noise {
    /// One factor per element: `0` with the given probability, else `1 / (1 - probability)`.
    pub(crate) fn mask(self, site: u64, probability: f64, elements: usize) -> Vec<f32> {
        let mut mask = vec![0.0; elements.next_multiple_of(2)];
        self.factors(site, probability).fill_even(0, &mut mask);
        mask.truncate(elements);
        mask
    }

    /// The factors of a site, to be drawn anywhere.
    pub(crate) fn factors(self, site: u64, probability: f64) -> Factors {
        Factors {
            key: key(self.seed, [self.step, self.micro_batch, site]),
            kept: (1.0 / (1.0 - probability)) as f32,
            threshold: (probability * f64::from(u32::MAX)) as u32,
        }
    }
}

/// The factors of one site at one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    key: u64,
    kept: f32,
    threshold: u32,
}

impl Factors {
    /// Draws the factors of an even number of elements, from an even one on.
    #[expect(
        clippy::inline_always,
        reason = "it is compiled for the instruction set of the kernel that calls it"
    )]
    #[inline(always)]
    pub(crate) fn fill_even(self, first: usize, factors: &mut [f32]) {
        let first = self.key.wrapping_add(first as u64 / 2);
        let value = |draw: u32| {
            if draw < self.threshold {
                0.0
            } else {
                self.kept
            }
        };
        // Two 32-bit draws from each 64-bit one.
        for (pair, factors) in factors.chunks_exact_mut(2).enumerate() {
            let draw = mix(first.wrapping_add(pair as u64));
            factors[0] = value(draw as u32);
            factors[1] = value((draw >> 32) as u32);
        }
    }
}

/// A number from 0 to below 1, a pure function of a seed and of what it is for.
pub fn uniform(seed: u64, purpose: [u64; 2]) -> f64 {
    // As many bits as an `f64` holds exactly.
    (key(seed, purpose) >> 11) as f64 / (1_u64 << 53) as f64
}

fn key<const N: usize>(seed: u64, parts: [u64; N]) -> u64 {
    let parts = parts.into_iter();
    parts.fold(mix(seed), |key, part| mix(key ^ mix(part)))
}

/// The output function of `SplitMix64` (Steele, Lea and Flood, 2014), applied to a counter.
#[inline]
pub(crate) fn mix(counter: u64) -> u64 {
    let z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise {
        seed: 42,
        step: 3,
        micro_batch: 0,
    };

    #[test]
    fn a_mask_repeats_and_another_key_differs() {
        let mask = NOISE.mask(1, 0.5, 64);
        assert_eq!(mask, NOISE.mask(1, 0.5, 64));
        assert_ne!(mask, NOISE.mask(2, 0.5, 64));
        assert_ne!(mask, Noise { step: 4, ..NOISE }.mask(1, 0.5, 64));
        assert_ne!(mask, Noise { seed: 43, ..NOISE }.mask(1, 0.5, 64));
        assert_ne!(
            mask,
            Noise {
                micro_batch: 1,
                ..NOISE
            }
            .mask(1, 0.5, 64)
        );
    }

    #[test]
    fn uniform_numbers_repeat_and_spread_evenly() {
        let numbers: Vec<f64> = (0..10_000).map(|index| uniform(7, [3, index])).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        // Four standard deviations.
        assert!((mean - 0.5).abs() < 1.2e-2, "mean {mean}");
        assert_eq!(numbers[5], uniform(7, [3, 5]));
        assert_ne!(numbers[5], uniform(8, [3, 5]));
        assert_ne!(numbers[5], uniform(7, [4, 5]));
    }

    #[test]
    fn a_mask_keeps_the_mean_and_drops_the_given_share() {
        let mask = NOISE.mask(7, 0.1, 100_001);
        assert_eq!(mask.len(), 100_001);
        let mean = f64::from(mask.iter().sum::<f32>()) / mask.len() as f64;
        let dropped =
            mask.iter().filter(|&&factor| factor == 0.0).count() as f64 / mask.len() as f64;
        // Four standard deviations of 100,001 draws.
        assert!((mean - 1.0).abs() < 4.5e-3, "mean {mean}");
        assert!((dropped - 0.1).abs() < 4e-3, "dropped {dropped}");
    }
}
