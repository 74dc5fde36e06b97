//! Attention, row by row and head by head: nothing of padding is computed, and no weights are kept.
//!
//! Letters as in [`crate::TrainBackend::attend`]. A task takes a row's key head and the query heads that
//! share it. The backward pass draws the weights again from the scores and two numbers a query.

mod backward;
mod forward;

use std::ops::Range;

use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::numbers::{Numbers, tensor, zeros};
use super::product::{Left, MULTIPLE, Matrix};
use super::transpose::transpose;
use super::{Fused, Kernel};
use crate::noise::Factors;
use crate::{Heads, Rows, Sight};

/// Queries whose scores are held at a time.
const BLOCK: usize = 64;

/// See [`super::Kernels::fused_attend`].
pub(super) fn attend(
    qkv: [FlexTensor; 3],
    heads: Heads,
    masks: Option<Factors>,
    rows: &Rows,
) -> Fused<Flex, 3> {
    Kernel::Attend.count();
    let shape = Shape::new(heads, masks, rows);
    let queries = [shape.num_queries, heads.queries * heads.size];
    let keys = [rows.num_slots(), heads.keys * heads.size];
    let inputs = qkv.map(Numbers::new);
    let mut output = zeros(queries[0] * queries[1]);
    // Of each query, its largest score and the factor that makes weights of exponentials.
    let mut softmax = vec![[0.0; 2]; queries[0] * heads.queries];
    let outputs = split_rows(&mut output, shape.queries(), queries[1]);
    let statistics = split_rows(&mut softmax, shape.queries(), heads.queries);
    shape
        .rows
        .par_iter()
        .zip(outputs.into_par_iter().zip(statistics))
        .for_each(|(row, (output, softmax))| {
            let inputs = inputs.each_ref().map(Numbers::get);
            shape.forward_row(row, inputs, output, softmax);
        });
    Fused::new(tensor(output, queries), move |gradient, needed| {
        Kernel::AttendBackward.count();
        let gradient = Numbers::new(gradient);
        let shapes = [queries, keys, keys];
        let mut outputs = shapes.map(|[slots, width]| zeros(slots * width));
        let [to_q, to_k, to_v] = &mut outputs;
        let to_q = split_rows(to_q, shape.queries(), queries[1]);
        let to_k = split_rows(to_k, shape.tokens(), keys[1]);
        let to_v = split_rows(to_v, shape.tokens(), keys[1]);
        let outputs_of_rows = to_q.into_par_iter().zip(to_k).zip(to_v);
        let rows = shape.rows.par_iter().zip(outputs_of_rows);
        rows.for_each(|(row, ((to_q, to_k), to_v))| {
            let [q, k, v] = inputs.each_ref().map(Numbers::get);
            let inputs = [q, k, v, gradient.get()];
            let Range { start, end } = row.queries;
            let softmax = &softmax[start * heads.queries..end * heads.queries];
            shape.backward_row(row, inputs, softmax, [to_q, to_k, to_v]);
        });
        let mut shapes = shapes.into_iter().zip(needed);
        outputs.map(|output| {
            let (shape, is_needed) = shapes.next()?;
            is_needed.then(|| tensor(output, shape))
        })
    })
}

/// What every task knows.
struct Shape {
    heads: Heads,
    masks: Option<Factors>,
    /// Slots of queries, padding included.
    num_queries: usize,
    /// Lines of a head, and their columns, of the grid of scores that masks are counted in.
    grid: [usize; 2],
    rows: Vec<Row>,
}

/// Where a row lies.
struct Row {
    tokens: Range<usize>,
    /// Of its first tokens, those that look, among all that do.
    queries: Range<usize>,
    cell: [usize; 2],
}

/// A block of the queries of a head of a row.
struct Block {
    head: usize,
    queries: Range<usize>,
    /// Keys that any of them sees, rounded to whole registers.
    keys: Range<usize>,
    /// Those of them that there are.
    num_keys: usize,
}

impl Shape {
    fn new(heads: Heads, masks: Option<Factors>, rows: &Rows) -> Self {
        let starts = rows.starts().into_iter().zip(rows.lengths());
        let tokens: Vec<_> = starts
            .map(|(start, length)| start..start + length)
            .collect();
        let (cells, grid, queries, num_queries) = match heads.sight {
            Sight::FromFirst => {
                let (cells, width) = rows.lines();
                let firsts = (0..rows.len()).map(|row| row..row + 1);
                (cells, [1, width], firsts.collect(), rows.len())
            }
            Sight::Full | Sight::Causal { .. } => {
                let (cells, width) = rows.cells();
                (cells, [width; 2], tokens.clone(), rows.num_slots())
            }
        };
        let places = tokens.into_iter().zip(queries).zip(cells);
        let places = places.map(|((tokens, queries), cell)| Row {
            tokens,
            queries,
            cell,
        });
        Self {
            heads,
            masks,
            num_queries,
            grid,
            rows: places.collect(),
        }
    }

    fn queries(&self) -> impl Iterator<Item = &Range<usize>> {
        self.rows.iter().map(|row| &row.queries)
    }

    fn tokens(&self) -> impl Iterator<Item = &Range<usize>> {
        self.rows.iter().map(|row| &row.tokens)
    }

    /// Numbers of a head, rounded up to whole registers.
    fn padded_size(&self) -> usize {
        self.heads.size.next_multiple_of(MULTIPLE)
    }

    /// Query heads of a key head.
    fn group(&self) -> usize {
        self.heads.queries / self.heads.keys
    }

    fn scale(&self) -> f32 {
        (1.0 / (self.heads.size as f64).sqrt()) as f32
    }

    /// The keys that a query of a row sees.
    fn seen(&self, query: usize, length: usize) -> Range<usize> {
        match self.heads.sight {
            Sight::Full | Sight::FromFirst => 0..length,
            Sight::Causal { window } => {
                let first = window.map_or(0, |window| (query + 1).saturating_sub(window));
                first..query + 1
            }
        }
    }

    /// The blocks of the query heads of a key head.
    fn blocks(&self, row: &Row, key_head: usize) -> impl Iterator<Item = Block> + '_ {
        let (length, queries) = (row.tokens.len(), row.queries.len());
        let heads = key_head * self.group()..(key_head + 1) * self.group();
        let starts = move |head| (0..queries).step_by(BLOCK).map(move |start| (head, start));
        heads.flat_map(starts).map(move |(head, start)| {
            let queries = start..(start + BLOCK).min(queries);
            let first = self.seen(queries.start, length).start / MULTIPLE * MULTIPLE;
            let end = self.seen(queries.end - 1, length).end;
            Block {
                head,
                queries,
                keys: first..end.next_multiple_of(MULTIPLE),
                num_keys: end - first,
            }
        })
    }

    /// A query head of a row, of `[N, H·C]`.
    fn query_head<'a>(&self, numbers: &'a [f32], row: &Row, head: usize) -> Head<'a> {
        let stride = self.heads.queries * self.heads.size;
        Head::new(numbers, &row.queries, stride, head, self.heads.size)
    }

    /// A key head of a row, of `[N, K·C]`.
    fn key_head<'a>(&self, numbers: &'a [f32], row: &Row, head: usize) -> Head<'a> {
        let stride = self.heads.keys * self.heads.size;
        Head::new(numbers, &row.tokens, stride, head, self.heads.size)
    }

    /// Draws the factors of a query's weights on the keys of its block.
    #[inline(always)]
    fn factors<'a>(
        &self,
        row: &Row,
        block: &Block,
        query: usize,
        factors: &'a mut Vec<f32>,
    ) -> Option<&'a [f32]> {
        let masks = self.masks?;
        let [grid_row, column] = row.cell;
        let [lines, width] = self.grid;
        let line = (grid_row * self.heads.queries + block.head) * lines + column + query;
        let first = line * width + column + block.keys.start;
        // A draw serves an even element and the one after it.
        factors.resize(block.keys.len() + 2, 0.0);
        masks.fill_even(first - first % 2, factors);
        Some(&factors[first % 2..][..block.keys.len()])
    }
}

impl Block {
    /// The columns of its scores that a query sees.
    fn columns(&self, seen: &Range<usize>) -> Range<usize> {
        seen.start - self.keys.start..seen.end - self.keys.start
    }
}

/// Cuts numbers of all slots into those of each row; what lies between rows is left out.
fn split_rows<'a, 'b, T>(
    mut numbers: &'a mut [T],
    rows: impl Iterator<Item = &'b Range<usize>>,
    width: usize,
) -> Vec<&'a mut [T]> {
    let mut end = 0;
    let rows = rows.map(|row| {
        let (_, rest) = std::mem::take(&mut numbers).split_at_mut((row.start - end) * width);
        let (part, rest) = rest.split_at_mut(row.len() * width);
        numbers = rest;
        end = row.end;
        part
    });
    rows.collect()
}

/// A head of a row: numbers from its first one on.
#[derive(Clone, Copy)]
struct Head<'a> {
    numbers: &'a [f32],
    stride: usize,
    length: usize,
    size: usize,
}

impl<'a> Head<'a> {
    /// One of the heads that lie side by side in these slots.
    fn new(
        numbers: &'a [f32],
        slots: &Range<usize>,
        stride: usize,
        head: usize,
        size: usize,
    ) -> Self {
        Self {
            numbers: &numbers[slots.start * stride + head * size..],
            stride,
            length: slots.len(),
            size,
        }
    }

    fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        let rows = self.numbers.chunks(self.stride).take(self.length);
        rows.map(move |row| &row[..self.size])
    }

    /// Some of its tokens.
    fn tokens(self, tokens: &Range<usize>) -> Self {
        Self {
            numbers: &self.numbers[tokens.start * self.stride..],
            length: tokens.len(),
            ..self
        }
    }

    /// Some of its tokens as a left factor.
    fn left(self, tokens: &Range<usize>) -> Left<'a> {
        Left::rows(self.tokens(tokens).numbers, self.stride)
    }

    /// `[T, C]`, each row filled up with zeros to a width.
    fn packed(self, width: usize) -> Vec<f32> {
        let mut packed = vec![0.0; self.length * width];
        for (to, row) in packed.chunks_exact_mut(width).zip(self.rows()) {
            to[..self.size].copy_from_slice(row);
        }
        packed
    }

    /// `[C, T]`, each row filled up with zeros to a width.
    fn transposed(self, width: usize) -> Vec<f32> {
        let mut transposed = vec![0.0; self.size * width];
        let from = Matrix::new(self.numbers, self.stride);
        let to = Matrix::new(transposed.as_mut_slice(), width);
        transpose(from, to, [self.length, self.size]);
        transposed
    }
}

/// Puts the heads of a row, `[H, T, padded C]`, side by side, `[T, H·C]`.
fn join(output: &mut [f32], heads: &[f32], [length, size, padded]: [usize; 3]) {
    let width = output.len() / length;
    for (head, numbers) in heads.chunks_exact(length * padded).enumerate() {
        let tokens = output
            .chunks_exact_mut(width)
            .zip(numbers.chunks_exact(padded));
        for (output, numbers) in tokens {
            output[head * size..(head + 1) * size].copy_from_slice(&numbers[..size]);
        }
    }
}
