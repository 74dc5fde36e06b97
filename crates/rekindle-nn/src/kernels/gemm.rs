//! Products of large matrices, computed by the crate `gemm`, as `Flex` has them computed.
//!
//! `Flex` clears an output, and copies it to where it is aligned, on one thread; here it is written once. And
//! each thread has a block of the output to itself: threads that share a product in `gemm` wait for each
//! other before every panel of it.

use std::cell::Cell;
use std::ops::Range;

use burn_flex::FlexTensor;
use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::numbers::{dims, tensor};
use super::product::Matrix;
use super::transpose::transpose;

/// Multiplications that a thread takes at least.
const SHARE: usize = 1 << 21;

/// Multiplications of a thread that are cut in [`PARTS`], so that one that is held up leaves some to others.
const LARGE: usize = 1 << 26;
const PARTS: usize = 4;

/// Blocks are of whole tiles: rows and columns of an output that `gemm` computes in registers.
const TILE: [usize; 2] = [6, 64];

/// Numbers of a right factor that are turned at a time, and multiplied before they are out of a cache.
const PANEL: usize = 1 << 15;

thread_local! {
    /// Where they are laid.
    static TURNED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A matrix, whichever way it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    numbers: &'a [f32],
    shape: [usize; 2],
    /// Numbers from one row to the next, and from one column to the next.
    strides: [usize; 2],
}

impl<'a> View<'a> {
    /// # Panics
    /// If the tensor was not [`straight`], or is not of two dimensions.
    pub(super) fn new(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let &[rows, columns] = layout.strides() else {
            panic!("a matrix has two dimensions");
        };
        let strides = [rows, columns].map(usize::try_from);
        Self {
            numbers: &tensor.storage()[layout.start_offset()..],
            shape: dims(tensor),
            strides: strides.map(|stride| stride.expect("no row or column lies backwards")),
        }
    }

    pub(super) fn transposed(self) -> Self {
        let swapped = |[rows, columns]: [usize; 2]| [columns, rows];
        Self {
            shape: swapped(self.shape),
            strides: swapped(self.strides),
            ..self
        }
    }

    pub(super) fn height(self) -> usize {
        self.shape[0]
    }

    pub(super) fn width(self) -> usize {
        self.shape[1]
    }

    /// These of its columns, which are there; where it has no rows, there are no numbers.
    fn columns(self, columns: Range<usize>) -> Self {
        Self {
            numbers: self
                .numbers
                .get(columns.start * self.strides[1]..)
                .unwrap_or_default(),
            shape: [self.shape[0], columns.len()],
            ..self
        }
    }

    /// Whether its columns, not its rows, lie in memory number behind number.
    pub(super) fn is_turned(self) -> bool {
        self.strides[0] == 1 && self.strides[1] > 1
    }

    /// Whether all of its numbers are there.
    fn is_whole(&self) -> bool {
        let [rows, columns] = self.shape.map(|size| size.checked_sub(1));
        let (Some(row), Some(column)) = (rows, columns) else {
            return true;
        };
        row * self.strides[0] + column * self.strides[1] < self.numbers.len()
    }
}

/// A tensor none of whose dimensions lies backwards in memory.
pub(super) fn straight(tensor: FlexTensor) -> FlexTensor {
    if tensor.layout().strides().iter().all(|&stride| stride >= 0) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// `left · right` as a tensor.
///
/// # Panics
/// If the matrices do not fit together.
pub(super) fn product(left: View<'_>, right: View<'_>) -> FlexTensor {
    tensor(multiply(left, right), [left.height(), right.width()])
}

/// `left · right`, row after row.
///
/// # Panics
/// If the matrices do not fit together.
pub(super) fn multiply(left: View<'_>, right: View<'_>) -> Vec<f32> {
    let ([height, length], [depth, width]) = (left.shape, right.shape);
    assert_eq!(length, depth, "a row of the one is a column of the other");
    assert!(left.is_whole() && right.is_whole(), "numbers are missing");
    let size = height * width;
    let mut output = Vec::with_capacity(size);
    let product = Product {
        left,
        right,
        output: output.as_mut_ptr(),
    };
    let blocks = blocks([height, width], num_blocks(size.saturating_mul(length))).into_par_iter();
    blocks
        .with_max_len(1)
        .for_each(|block| product.compute(block));
    #[expect(
        unsafe_code,
        reason = "no crate multiplies into memory that is not cleared"
    )]
    // SAFETY: the output has room for `size` numbers, and the blocks, which make up all of it, are written.
    unsafe {
        output.set_len(size);
    }
    output
}

/// Blocks that a product of so many multiplications is cut into.
fn num_blocks(work: usize) -> usize {
    let threads = (work / SHARE).clamp(1, rayon::current_num_threads());
    if work / threads < LARGE {
        threads
    } else {
        PARTS * threads
    }
}

/// Rows and columns of so many blocks into which an output of this shape is cut: of all grids that in which
/// they read the fewest numbers of both factors.
fn blocks([height, width]: [usize; 2], count: usize) -> Vec<[Range<usize>; 2]> {
    let grids = (1..=count).filter(|down| count.is_multiple_of(*down));
    let [down, across] = grids
        .map(|down| [down, count / down])
        .min_by_key(|[down, across]| down * width + across * height)
        .expect("there is a block");
    let columns = ranges(width, across, TILE[1]);
    ranges(height, down, TILE[0])
        .flat_map(|rows| columns.clone().map(move |columns| [rows.clone(), columns]))
        .collect()
}

/// Cuts a side into at most so many parts, all but the last of whole tiles.
fn ranges(size: usize, parts: usize, tile: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let part = size.div_ceil(parts).next_multiple_of(tile).max(tile);
    let starts = (0..size).step_by(part);
    starts.map(move |start| start..size.min(start + part))
}

/// A product that threads compute in blocks.
struct Product<'a> {
    left: View<'a>,
    right: View<'a>,
    /// Row after row, as wide as the right factor.
    output: *mut f32,
}

#[expect(unsafe_code, reason = "threads write to one output side by side")]
// SAFETY: the factors are only read, and no two blocks have a number of the output in common.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Computes these rows and columns of the output, which are within it.
    fn compute(&self, [rows, columns]: [Range<usize>; 2]) {
        if self.right.is_turned() && rows.len() >= TILE[0] {
            self.compute_turned(rows, columns);
        } else {
            self.compute_from(self.right.columns(columns.clone()), rows, columns.start);
        }
    }

    /// Lays the columns of the right factor side by side before they are multiplied: `gemm` would do so
    /// number by number, each from another part of memory.
    fn compute_turned(&self, rows: Range<usize>, columns: Range<usize>) {
        let length = self.right.height();
        let most = (PANEL / length.max(1)).next_multiple_of(TILE[1]);
        let mut panel = TURNED.take();
        for start in columns.clone().step_by(most) {
            let width = most.min(columns.end - start);
            let right = self.right.columns(start..start + width);
            let size = length * width;
            if panel.len() < size {
                panel.resize(size, 0.0);
            }
            let from = Matrix::new(right.numbers, right.strides[1]);
            let to = Matrix::new(&mut panel[..size], width);
            transpose(from, to, [width, length]);
            let right = View {
                numbers: &panel[..size],
                shape: [length, width],
                strides: [width, 1],
            };
            self.compute_from(right, rows.clone(), start);
        }
        TURNED.set(panel);
    }

    /// Computes rows of the output from a column on, by these columns of the right factor.
    fn compute_from(&self, right: View<'_>, rows: Range<usize>, column: usize) {
        let Self { left, output, .. } = self;
        let width = self.right.width();
        let [left_row, left_column] = left.strides.map(|stride| stride as isize);
        let [right_row, right_column] = right.strides.map(|stride| stride as isize);
        #[expect(unsafe_code, reason = "`gemm` takes pointers")]
        // SAFETY: the factors' last numbers are within their slices, so those of all rows and columns are.
        // The output has room for the block, of which nobody else sees a number; `gemm` writes each of
        // them, and reads none.
        unsafe {
            gemm(
                rows.len(),
                right.width(),
                left.width(),
                output.add(rows.start * width + column),
                1,
                width as isize,
                false,
                left.numbers.as_ptr().add(rows.start * left.strides[0]),
                left_column,
                left_row,
                right.numbers.as_ptr(),
                right_column,
                right_row,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData, TensorPrimitive};
    use burn_flex::{Flex, FlexDevice};

    use super::*;

    fn matrix(shape: [usize; 2]) -> Tensor<Flex, 2> {
        let number = |index| (index as f32 * 0.37).sin();
        let numbers: Vec<f32> = (0..shape[0] * shape[1]).map(number).collect();
        Tensor::from_data(TensorData::new(numbers, shape), &FlexDevice)
    }

    fn primitive(tensor: Tensor<Flex, 2>) -> FlexTensor {
        match tensor.into_primitive() {
            TensorPrimitive::Float(tensor) => straight(tensor),
            TensorPrimitive::QFloat(_) => unreachable!("nothing is quantized"),
        }
    }

    #[test]
    fn products_follow_their_definition_whichever_way_the_factors_lie() {
        for [height, length, width] in [
            [1, 1, 1],
            [3, 0, 2],
            [5, 7, 16],
            [33, 2, 19],
            // Large enough to be shared.
            [130, 90, 110],
            // This one's right factor is turned in parts.
            [9, 1100, 200],
        ] {
            let (a, b) = (matrix([height, length]), matrix([length, width]));
            let row: Vec<Vec<f32>> = a.clone().iter_dim(0).map(values).collect();
            let column: Vec<Vec<f32>> = b.clone().iter_dim(1).map(values).collect();
            // The same matrices as parts of others, turned, and backwards in memory.
            let cut = |x: Tensor<Flex, 2>| {
                let [rows, columns] = x.dims();
                let around = Tensor::cat(vec![x.clone(), x], 1);
                around.slice([0..rows, columns..2 * columns])
            };
            let turned = |x: Tensor<Flex, 2>| cut(x.transpose()).transpose();
            let flipped = |x: Tensor<Flex, 2>| {
                let data = x.flip([0, 1]).into_data();
                Tensor::<Flex, 2>::from_data(data, &FlexDevice).flip([0, 1])
            };
            for change in [&cut as &dyn Fn(_) -> _, &turned, &flipped] {
                let factors = [change(a.clone()), change(b.clone())].map(primitive);
                let [left, right] = factors.each_ref().map(View::new);
                let found = multiply(left, right);
                assert_eq!(found.len(), height * width);
                for (index, found) in found.into_iter().enumerate() {
                    let terms = row[index / width].iter().zip(&column[index % width]);
                    let expected: f32 = terms.map(|(a, b)| a * b).sum();
                    assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
                }
            }
        }
    }

    fn values(tensor: Tensor<Flex, 2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn blocks_are_long_on_no_side_and_make_up_the_output() {
        for (shape, count, expected) in [
            ([0, 5], 1, vec![]),
            ([5, 7], 1, vec![[0..5, 0..7]]),
            ([200, 1536], 2, vec![[0..200, 0..768], [0..200, 768..1536]]),
            (
                [2048, 384],
                2,
                vec![[0..1026, 0..384], [1026..2048, 0..384]],
            ),
            ([8, 8], 3, vec![[0..8, 0..8]]),
        ] {
            assert_eq!(blocks(shape, count), expected, "{shape:?}");
        }
        for count in 1..20 {
            let mut times = vec![0; 500 * 700];
            for [rows, columns] in blocks([500, 700], count) {
                for row in rows {
                    for time in &mut times[row * 700..][columns.clone()] {
                        *time += 1;
                    }
                }
            }
            assert!(times.iter().all(|&times| times == 1), "{count} blocks");
        }
    }

    #[test]
    #[should_panic(expected = "a row of the one is a column of the other")]
    fn matrices_that_do_not_fit_are_refused() {
        let factors = [matrix([2, 3]), matrix([2, 3])].map(primitive);
        let [left, right] = factors.each_ref().map(View::new);
        multiply(left, right);
    }

    #[test]
    #[should_panic(expected = "numbers are missing")]
    fn a_matrix_that_is_not_there_is_refused() {
        let factor = primitive(matrix([2, 3]));
        let whole = View::new(&factor);
        let missing = View {
            numbers: &whole.numbers[..5],
            ..whole
        };
        multiply(missing, whole.transposed());
    }
}
