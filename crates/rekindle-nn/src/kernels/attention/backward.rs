//! The backward pass of attention.

use std::ops::Range;

use rayon::prelude::*;

use super::{Block, Row, Shape, join};
use crate::kernels::math;
use crate::kernels::numbers::vectorized;
use crate::kernels::product::{Left, MULTIPLE, Matrix, product};

/// The inputs of the forward pass, and the gradient of its output.
type Inputs<'a> = [&'a [f32]; 4];

/// A key head as factors: keys by token, keys and values by number.
struct Keys {
    packed: Vec<f32>,
    transposed: Vec<f32>,
    values: Vec<f32>,
    stride: usize,
}

impl Shape {
    /// Gradients of queries, keys and values of a row.
    pub(super) fn backward_row(
        &self,
        row: &Row,
        inputs: Inputs<'_>,
        softmax: &[[f32; 2]],
        outputs: [&mut [f32]; 3],
    ) {
        let padded = self.padded_size();
        let lengths = [&row.queries, &row.tokens, &row.tokens].map(Range::len);
        let heads = [self.heads.queries, self.heads.keys, self.heads.keys];
        let scratch = |part: usize| vec![0.0; heads[part] * lengths[part] * padded];
        let [mut to_q, mut to_k, mut to_v] = [0, 1, 2].map(scratch);
        let queries = self.group() * lengths[0];
        to_q.par_chunks_mut(queries * padded)
            .zip(to_k.par_chunks_mut(lengths[1] * padded))
            .zip(to_v.par_chunks_mut(lengths[2] * padded))
            .zip(softmax.par_chunks(queries))
            .enumerate()
            .for_each(|(key_head, (((to_q, to_k), to_v), softmax))| {
                self.backward_heads((row, key_head), inputs, softmax, [to_q, to_k, to_v]);
            });
        let parts = outputs.into_iter().zip([to_q, to_k, to_v]);
        for ((output, heads), length) in parts.zip(lengths) {
            join(output, &heads, [length, self.heads.size, padded]);
        }
    }

    /// The query heads of a key head.
    fn backward_heads(
        &self,
        (row, key_head): (&Row, usize),
        inputs: Inputs<'_>,
        softmax: &[[f32; 2]],
        [to_q, to_k, to_v]: [&mut [f32]; 3],
    ) {
        let padded = self.padded_size();
        let [q, _, _, gradient] = inputs;
        let keys = self.keys((row, key_head), inputs);
        let (mut weights, mut slopes) = (Vec::new(), Vec::new());
        let mut factors = Vec::new();
        let mut done = 0;
        for block in self.blocks(row, key_head) {
            let (height, width) = (block.queries.len(), block.keys.len());
            weights.resize(height * width, 0.0);
            slopes.resize(height * width, 0.0);
            let [queries, gradients] = [q, gradient].map(|x| self.query_head(x, row, block.head));
            let size = [height, width, self.heads.size];
            for (output, left, right) in [
                (&mut weights, queries, &keys.transposed),
                (&mut slopes, gradients, &keys.values),
            ] {
                let left = left.left(&block.queries);
                let right = Matrix::new(&right[block.keys.start..], keys.stride);
                product(
                    Matrix::new(&mut output[..], width),
                    left,
                    right,
                    size,
                    false,
                );
            }
            let softmax = &softmax[done..done + height];
            let both = [&mut weights[..], &mut slopes[..]];
            vectorized(
                #[inline(always)]
                || self.slope((row, &block), both, softmax, &mut factors),
            );
            product(
                Matrix::new(&mut to_q[done * padded..], padded),
                Left::rows(&slopes, width),
                Matrix::new(&keys.packed[block.keys.start * padded..], padded),
                [height, padded, block.num_keys],
                false,
            );
            let size = [block.num_keys, padded, height];
            for (output, left, right) in [
                (&mut *to_k, &slopes, queries),
                (&mut *to_v, &weights, gradients),
            ] {
                let right = right.tokens(&block.queries).packed(padded);
                let output = Matrix::new(&mut output[block.keys.start * padded..], padded);
                let left = Left::columns(left, width);
                product(output, left, Matrix::new(&right[..], padded), size, true);
            }
            done += height;
        }
    }

    fn keys(&self, (row, key_head): (&Row, usize), [_, k, v, _]: Inputs<'_>) -> Keys {
        let stride = row.tokens.len().next_multiple_of(MULTIPLE);
        let [keys, values] = [k, v].map(|x| self.key_head(x, row, key_head));
        Keys {
            packed: keys.packed(self.padded_size()),
            transposed: keys.transposed(stride),
            values: values.transposed(stride),
            stride,
        }
    }

    /// Makes weights of scores, dropout included, and of the gradients of weights those of scores.
    #[inline(always)]
    fn slope(
        &self,
        (row, block): (&Row, &Block),
        [weights, slopes]: [&mut [f32]; 2],
        softmax: &[[f32; 2]],
        factors: &mut Vec<f32>,
    ) {
        let (width, scale) = (block.keys.len(), self.scale());
        let lines = weights
            .chunks_exact_mut(width)
            .zip(slopes.chunks_exact_mut(width));
        for ((weights, slopes), (query, softmax)) in lines.zip(block.queries.clone().zip(softmax)) {
            let [largest, factor] = *softmax;
            let seen = block.columns(&self.seen(query, row.tokens.len()));
            self.exponentials(weights, seen, largest);
            for weight in weights.iter_mut() {
                *weight *= factor;
            }
            let factors = self.factors(row, block, query, factors);
            if let Some(factors) = factors {
                for (slope, dropped) in slopes.iter_mut().zip(factors) {
                    *slope *= dropped;
                }
            }
            let mean = math::dot(weights, slopes);
            for (slope, weight) in slopes.iter_mut().zip(weights.iter()) {
                *slope = weight * (*slope - mean) * scale;
            }
            if let Some(factors) = factors {
                for (weight, dropped) in weights.iter_mut().zip(factors) {
                    *weight *= dropped;
                }
            }
        }
    }
}
