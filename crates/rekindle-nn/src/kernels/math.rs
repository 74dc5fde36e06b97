//! Functions and sums that compilers turn into vector instructions.

/// Sums are made in this many parts side by side.
const LANES: usize = 16;

/// `eˣ` to two units in the last place; beyond f32 the nearest that it has.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it moves an integer into the low bits of the significand.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first one short enough for exact products.
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let rest = power.mul_add(-LN2_LOW, power.mul_add(-LN2_HIGH, x));
    // Fitted for the least relative error, 3e-9, on |rest| <= ln 2 / 2.
    let polynomial = 0.001_381_460_8_f32;
    let polynomial = polynomial.mul_add(rest, 0.008_368_71);
    let polynomial = polynomial.mul_add(rest, 0.041_668_387);
    let polynomial = polynomial.mul_add(rest, 0.166_665_21);
    let polynomial = polynomial.mul_add(rest, 0.499_999_93);
    let polynomial = polynomial.mul_add(rest, 1.0).mul_add(rest, 1.0);
    polynomial * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The normal distribution's function and density, to a relative 3e-7, in the tails as well.
#[inline(always)]
pub(super) fn normal(x: f32) -> [f32; 2] {
    /// `1 / √(2π)`.
    const DENSITY: f32 = 0.398_942_3;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.5, 1.0);
    // `exp(z²) erfc(z) = t P(t)`, fitted for the least relative error, 2e-8.
    let p = 0.010_814_086_f32;
    let p = p.mul_add(t, -0.115_461_74);
    let p = p.mul_add(t, 0.411_108_6);
    let p = p.mul_add(t, -0.647_022_3);
    let p = p.mul_add(t, 0.402_863_63);
    let p = p.mul_add(t, -0.088_869_92);
    let p = p.mul_add(t, 0.222_443_68);
    let p = p.mul_add(t, 0.239_268_97);
    let p = p.mul_add(t, 0.282_787_14);
    let p = p.mul_add(t, 0.282_067_8);
    let bell = exp(-0.5 * x * x);
    let tail = 0.5 * bell * t * p;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    [below, DENSITY * bell]
}

/// The sum of `term` over what stands at each place of inputs of one length, in a fixed order.
#[inline(always)]
fn sum_of<const N: usize>(inputs: [&[f32]; N], term: impl Fn([f32; N]) -> f32) -> f32 {
    let mut parts = [0.0; LANES];
    let inputs = inputs.map(|input| input[..inputs[0].len()].as_chunks::<LANES>());
    for index in 0..inputs[0].0.len() {
        let chunks = inputs.map(|(chunks, _)| &chunks[index]);
        for (lane, part) in parts.iter_mut().enumerate() {
            *part += term(chunks.map(|chunk| chunk[lane]));
        }
    }
    for (index, part) in parts.iter_mut().enumerate().take(inputs[0].1.len()) {
        *part += term(inputs.map(|(_, rest)| rest[index]));
    }
    // Pairwise, which is what vector registers do.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            parts[lane] += parts[lane + width];
        }
        width /= 2;
    }
    parts[0]
}

/// `Σ x`.
#[inline(always)]
pub(super) fn sum(x: &[f32]) -> f32 {
    sum_of([x], |[x]| x)
}

/// `Σ (x - center)²`.
#[inline(always)]
pub(super) fn sum_of_squares(x: &[f32], center: f32) -> f32 {
    sum_of([x], |[x]| (x - center) * (x - center))
}

/// `Σ x y`.
#[inline(always)]
pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
    sum_of([x, y], |[x, y]| x * y)
}

/// `Σ x (y - center)`.
#[inline(always)]
pub(super) fn sum_along(x: &[f32], y: &[f32], center: f32) -> f32 {
    sum_of([x, y], |[x, y]| x * (y - center))
}

/// The largest number; NaN is not one.
#[inline(always)]
pub(super) fn maximum(x: &[f32]) -> f32 {
    let mut parts = [f32::NEG_INFINITY; LANES];
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (part, &number) in parts.iter_mut().zip(chunk) {
            *part = larger(number, *part);
        }
    }
    for (part, &number) in parts.iter_mut().zip(rest) {
        *part = larger(number, *part);
    }
    parts.into_iter().fold(f32::NEG_INFINITY, larger)
}

/// Replaces each number by `exp(x - shift)`, and gives their sum.
#[inline(always)]
pub(super) fn exponentials(x: &mut [f32], shift: f32) -> f32 {
    for number in x.iter_mut() {
        *number = exp(*number - shift);
    }
    sum(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for i in -8_700..8_800 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_take_every_number_once() {
        for length in [0, 1, 15, 16, 17, 31, 100] {
            let x: Vec<f32> = (0..length).map(|i| (i % 7) as f32).collect();
            assert_eq!(sum(&x), x.iter().sum::<f32>());
            assert_eq!(dot(&x, &x), x.iter().map(|x| x * x).sum::<f32>());
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(maximum(&x), largest);
        }
    }

    #[test]
    fn the_normal_distribution_is_right_in_its_tails() {
        // Abramowitz and Stegun, table 26.1 and 26.2.
        for (x, function) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (-1.0, 0.158_655_253_931_457),
            (-3.0, 1.349_898_031_630_095e-3),
            (-5.0, 2.866_515_718_791_939e-7),
            (-8.0, 6.220_960_574_271_785e-16),
        ] {
            let [found, density] = normal(x);
            let error = (f64::from(found) / function - 1.0).abs();
            assert!(error < 3e-6, "the function at {x} is off by {error}");
            let x = f64::from(x);
            let expected = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
            assert!((f64::from(density) / expected - 1.0).abs() < 3e-6);
        }
    }
}
