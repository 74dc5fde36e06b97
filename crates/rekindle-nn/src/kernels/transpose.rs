//! The transpose of a matrix.

use super::product::Matrix;

/// Side of the squares that are turned one after the other: of rows that lie far apart, the processor keeps
/// only so many near.
const SIDE: usize = 16;

/// Columns by which numbers are fetched before they are turned: the rows of a square are too many for the
/// processor to foresee, and each begins in another page.
const AHEAD: usize = 8 * SIDE;

type Square = [[f32; SIDE]; SIDE];

/// Writes the columns of a matrix as rows of another.
///
/// `size` is the height of the first, and its width.
pub(super) fn transpose(from: Matrix<&[f32]>, to: Matrix<&mut [f32]>, size: [usize; 2]) {
    let [height, width] = size;
    let whole = size.map(|side| side - side % SIDE);
    for row in (0..whole[0]).step_by(SIDE) {
        for column in (0..whole[1]).step_by(SIDE) {
            if width > AHEAD {
                fetch(&from, row, column + AHEAD, width);
            }
            let mut square = [[0.0; SIDE]; SIDE];
            for (index, square) in square.iter_mut().enumerate() {
                let start = (row + index) * from.stride + column;
                square.copy_from_slice(&from.numbers[start..][..SIDE]);
            }
            for (index, square) in turned(square).iter().enumerate() {
                let start = (column + index) * to.stride + row;
                to.numbers[start..][..SIDE].copy_from_slice(square);
            }
        }
    }
    for row in 0..height {
        let first = if row < whole[0] { whole[1] } else { 0 };
        for column in first..width {
            to.numbers[column * to.stride + row] = from.numbers[row * from.stride + column];
        }
    }
}

/// Tells the processor that a square is read soon: the one from this column on or, behind the last column,
/// where the next rows go on.
#[inline(always)]
fn fetch(from: &Matrix<&[f32]>, row: usize, column: usize, width: usize) {
    let (row, column) = if column < width {
        (row, column)
    } else {
        (row + SIDE, column - width)
    };
    for row in row..row + SIDE {
        let start = from.numbers.as_ptr();
        let number = start.wrapping_add(row * from.stride + column);
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "nothing else asks for memory ahead of time")]
        // SAFETY: the instruction reads nothing, and an address at which there is no memory is passed over.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(number.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = number;
    }
}

/// A square's transpose: its halves are shuffled like cards as often as its side can be halved.
#[inline(always)]
fn turned(square: Square) -> Square {
    // In a loop the compiler would not see that the numbers fit into registers.
    shuffled(shuffled(shuffled(shuffled(square))))
}

/// Of each row of the upper half and its fellow of the lower one two rows, of numbers of both by turns.
#[inline(always)]
fn shuffled(square: Square) -> Square {
    const HALF: usize = SIDE / 2;
    let mut output = square;
    for index in 0..HALF {
        let [one, other] = [square[index], square[index + HALF]];
        let by_turns = |index: usize, start: usize| {
            let column = start + index / 2;
            if index.is_multiple_of(2) {
                one[column]
            } else {
                other[column]
            }
        };
        output[2 * index] = std::array::from_fn(|index| by_turns(index, 0));
        output[2 * index + 1] = std::array::from_fn(|index| by_turns(index, HALF));
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for [height, width] in [[1, 1], [16, 16], [15, 17], [48, 32], [33, 50], [5, 64]] {
            // Rows of both matrices have numbers behind them that are not theirs.
            let (stride, to_stride) = (width + 3, height + 2);
            let from: Vec<f32> = (0..height * stride).map(|i| i as f32).collect();
            let mut to = vec![-1.0; width * to_stride];
            transpose(
                Matrix::new(&from, stride),
                Matrix::new(&mut to, to_stride),
                [height, width],
            );
            for (column, numbers) in to.chunks_exact(to_stride).enumerate() {
                for (row, &number) in numbers.iter().enumerate() {
                    let expected = if row < height {
                        from[row * stride + column]
                    } else {
                        -1.0
                    };
                    assert_eq!(number, expected, "{height} by {width}: {row}, {column}");
                }
            }
        }
    }
}
