//! Products of matrices with a short side, for attention and adapters; [`super::gemm`] has those of large ones.

use pulp::{Arch, Simd, WithSimd};

/// Widths of right factors and outputs of which no register is filled in part.
pub(super) const MULTIPLE: usize = 16;

/// A left factor.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    numbers: &'a [f32],
    /// Numbers from one row of it, as it lies in memory, to the next.
    stride: usize,
    /// Whether it is the transpose of what lies in memory.
    is_transposed: bool,
}

/// A right factor or an output, rows of at least as many numbers as the product is wide; or either side of a
/// transposition.
pub(super) struct Matrix<T> {
    pub(super) numbers: T,
    /// Numbers from one row to the next.
    pub(super) stride: usize,
}

impl<'a> Left<'a> {
    /// A matrix as it lies in memory.
    pub(super) fn rows(numbers: &'a [f32], stride: usize) -> Self {
        Self {
            numbers,
            stride,
            is_transposed: false,
        }
    }

    /// The transpose of what lies in memory.
    pub(super) fn columns(numbers: &'a [f32], stride: usize) -> Self {
        Self {
            numbers,
            stride,
            is_transposed: true,
        }
    }
}

impl<T> Matrix<T> {
    pub(super) fn new(numbers: T, stride: usize) -> Self {
        Self { numbers, stride }
    }
}

/// Writes `left · right` to an output, or adds it.
///
/// `size` is the height of the output, its width, and the length of the sums.
pub(super) fn product(
    output: Matrix<&mut [f32]>,
    left: Left<'_>,
    right: Matrix<&[f32]>,
    size: [usize; 3],
    is_added: bool,
) {
    Arch::new().dispatch(Product {
        output,
        left,
        right,
        size,
        is_added,
    });
}

struct Product<'a> {
    output: Matrix<&'a mut [f32]>,
    left: Left<'a>,
    right: Matrix<&'a [f32]>,
    size: [usize; 3],
    is_added: bool,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.left.is_transposed {
            self.run::<S, true>(simd);
        } else {
            self.run::<S, false>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const TRANSPOSED: bool>(&mut self, simd: S) {
        let [height, width, _] = self.size;
        let mut column = 0;
        while column < width {
            // Two registers of columns by six rows leave room for both factors, also in AVX2.
            let registers = ((width - column) / S::F32_LANES).min(2);
            let mut row = 0;
            while row < height {
                let (at, left) = ([row, column], height - row);
                row += match registers {
                    2 => self.rows::<S, 2, false, TRANSPOSED>(simd, at, left),
                    1 => self.rows::<S, 1, false, TRANSPOSED>(simd, at, left),
                    _ => self.rows::<S, 1, true, TRANSPOSED>(simd, at, left),
                };
            }
            column += registers.max(1) * S::F32_LANES;
        }
    }

    /// Computes as many rows as are left, at most six; gives their number.
    #[inline(always)]
    fn rows<S: Simd, const W: usize, const PART: bool, const TRANSPOSED: bool>(
        &mut self,
        simd: S,
        at: [usize; 2],
        left: usize,
    ) -> usize {
        match left {
            6.. => self.tile::<S, 6, W, PART, TRANSPOSED>(simd, at),
            4..6 => self.tile::<S, 4, W, PART, TRANSPOSED>(simd, at),
            2..4 => self.tile::<S, 2, W, PART, TRANSPOSED>(simd, at),
            _ => self.tile::<S, 1, W, PART, TRANSPOSED>(simd, at),
        }
    }

    /// Computes `H` rows and `W` registers of columns, or what columns are left for `PART` of one.
    #[inline(always)]
    fn tile<S: Simd, const H: usize, const W: usize, const PART: bool, const TRANSPOSED: bool>(
        &mut self,
        simd: S,
        [row, column]: [usize; 2],
    ) -> usize {
        let [_, all, length] = self.size;
        let width = if PART { all - column } else { W * S::F32_LANES };
        let Left {
            numbers, stride, ..
        } = self.left;
        let mut sums = [[simd.splat_f32s(0.0); W]; H];
        let rows: [&[f32]; H] = std::array::from_fn(|i| {
            if TRANSPOSED {
                &numbers[..0]
            } else {
                &numbers[(row + i) * stride..][..length]
            }
        });
        for k in 0..length {
            let right = &self.right.numbers[k * self.right.stride + column..][..width];
            let right: [S::f32s; W] = std::array::from_fn(|w| {
                if PART {
                    simd.partial_load_f32s(right)
                } else {
                    S::as_simd_f32s(right).0[w]
                }
            });
            let left: [f32; H] = if TRANSPOSED {
                let left = &numbers[k * stride + row..][..H];
                std::array::from_fn(|i| left[i])
            } else {
                std::array::from_fn(|i| rows[i][k])
            };
            for i in 0..H {
                let left = simd.splat_f32s(left[i]);
                for w in 0..W {
                    sums[i][w] = simd.mul_add_f32s(left, right[w], sums[i][w]);
                }
            }
        }
        let is_added = self.is_added;
        let finish = |base, sum| {
            if is_added {
                simd.add_f32s(base, sum)
            } else {
                sum
            }
        };
        for (i, sums) in sums.iter().enumerate() {
            let output = (row + i) * self.output.stride + column;
            let output = &mut self.output.numbers[output..][..width];
            if PART {
                let base = simd.partial_load_f32s(output);
                simd.partial_store_f32s(output, finish(base, sums[0]));
                continue;
            }
            for (output, &sum) in S::as_mut_simd_f32s(output).0.iter_mut().zip(sums) {
                *output = finish(*output, sum);
            }
        }
        H
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_sizes_follow_their_definition() {
        let number = |i: usize| (i as f32 * 0.37).sin();
        for (height, width, length) in [
            (1, 16, 1),
            (2, 48, 3),
            (13, 32, 7),
            (6, 80, 33),
            (5, 1, 4),
            (7, 45, 5),
        ] {
            for is_transposed in [false, true] {
                let a: Vec<f32> = (0..height * length).map(number).collect();
                let b: Vec<f32> = (0..width * length).map(|i| number(i + 5)).collect();
                let mut output = vec![1.0; height * width];
                let left = if is_transposed {
                    Left::columns(&a, height)
                } else {
                    Left::rows(&a, length)
                };
                let right = Matrix::new(&b[..], width);
                let to = Matrix::new(&mut output[..], width);
                product(to, left, right, [height, width, length], true);
                for (index, found) in output.iter().enumerate() {
                    let (row, column) = (index / width, index % width);
                    let term = |k: usize| {
                        let a = a[if is_transposed {
                            k * height + row
                        } else {
                            row * length + k
                        }];
                        a * b[k * width + column]
                    };
                    let expected = 1.0 + (0..length).map(term).sum::<f32>();
                    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
                }
            }
        }
    }
}
