//! Rotary position embedding, as checkpoints of the Llama kind have it.

use std::f64::consts::TAU;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::TrainBackend;

/// The speeds at which the numbers of a head turn with its position (Su et al., 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Radians per position of each pair of numbers.
    frequencies: Vec<f32>,
}

/// How frequencies are stretched for rows longer than those of pre-training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Not at all.
    None,
    /// `linear`: all by the same factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// `llama3`: the slow ones by the factor, the fast ones not, those between by a part of it.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Turns within `original_length` below which a frequency is slow.
        low: f64,
        /// Turns within `original_length` above which a frequency is fast.
        high: f64,
        /// Longest row of pre-training.
        original_length: f64,
    },
}

impl Rotary {
    /// Frequencies of heads of `size` numbers, the first one turning by one radian per position and the
    /// last ones about `theta` times slower.
    pub fn new(size: usize, theta: f64, scaling: RotaryScaling) -> Self {
        let frequency = |pair: usize| scaling.apply(theta.powf(-((2 * pair) as f64) / size as f64));
        Self {
            frequencies: (0..size / 2).map(|pair| frequency(pair) as f32).collect(),
        }
    }

    /// Cosines and sines of the angles at each position, `[N, C/2]` each.
    pub fn tables<B: Backend>(&self, positions: &[usize], device: &B::Device) -> [Tensor<B, 2>; 2] {
        let shape = [positions.len(), self.frequencies.len()];
        let table = |of: fn(f64) -> f64| {
            // The angle is rounded as transformers' is: at far positions that is what counts.
            let angles = positions.iter().flat_map(|&position| {
                let speeds = self.frequencies.iter();
                speeds.map(move |frequency| position as f32 * frequency)
            });
            let values: Vec<f32> = angles.map(|angle| of(f64::from(angle)) as f32).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        [table(f64::cos), table(f64::sin)]
    }
}

impl RotaryScaling {
    /// transformers' `modeling_rope_utils.py`.
    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low,
                high,
                original_length,
            } => {
                let turns = original_length * frequency / TAU;
                let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - share) * frequency / factor + share * frequency
            }
        }
    }
}

/// Turns each head by the angles of its slot.
///
/// The first half of a head and the second one are the two coordinates of its points, not neighboring
/// numbers: checkpoints of the Llama kind are stored for that.
///
/// # Shapes
/// - x, output: `[N, H·C]`
/// - tables: `[N, C/2]` each
pub fn rotate<B: TrainBackend>(x: Tensor<B, 2>, tables: &[Tensor<B, 2>; 2]) -> Tensor<B, 2> {
    B::rotate(x, tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_flex::{Flex, FlexDevice};

    #[test]
    fn halves_turn_together() {
        let rotary = Rotary::new(4, 10_000.0, RotaryScaling::None);
        let tables = rotary.tables::<Flex>(&[0, 1], &FlexDevice);
        let x = Tensor::from_data([[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]], &FlexDevice);
        let turned = rotate::<Flex>(x, &tables).into_data();
        let found: Vec<f32> = turned.iter::<f32>().collect();
        let (cos, sin) = (1_f32.cos(), 1_f32.sin());
        let (slow_cos, slow_sin) = (0.01_f32.cos(), 0.01_f32.sin());
        let expected = [1.0, 2.0, 3.0, 4.0, cos, -slow_sin, sin, slow_cos];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }

    #[test]
    fn a_slow_frequency_is_stretched_and_a_fast_one_is_not() {
        let scaling = RotaryScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original_length: 64.0,
        };
        let turns = |turns: f64| turns * TAU / 64.0;
        assert_eq!(scaling.apply(turns(8.0)), turns(8.0));
        assert_eq!(scaling.apply(turns(0.5)), turns(0.5) / 8.0);
        let between = scaling.apply(turns(2.5)) / turns(2.5);
        assert!((between - (0.5 + 0.5 / 8.0)).abs() < 1e-12, "{between}");
        assert_eq!(RotaryScaling::Linear { factor: 4.0 }.apply(1.0), 0.25);
    }
}
