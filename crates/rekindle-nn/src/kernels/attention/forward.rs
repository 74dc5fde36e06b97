//! The forward pass of attention.

use rayon::prelude::*;

use super::{Block, Row, Shape, join};
use crate::kernels::math;
use crate::kernels::numbers::vectorized;
use crate::kernels::product::{Left, MULTIPLE, Matrix, product};

impl Shape {
    /// Lets the tokens of a row attend to each other.
    ///
    /// `softmax` gets two numbers for each head and query: the largest score, not scaled, and the factor
    /// that makes weights of exponentials.
    pub(super) fn forward_row(
        &self,
        row: &Row,
        inputs: [&[f32]; 3],
        output: &mut [f32],
        softmax: &mut [[f32; 2]],
    ) {
        let (padded, length) = (self.padded_size(), row.queries.len());
        let queries = self.group() * length;
        let mut mixed = vec![0.0; self.heads.queries * length * padded];
        mixed
            .par_chunks_mut(queries * padded)
            .zip(softmax.par_chunks_mut(queries))
            .enumerate()
            .for_each(|(key_head, (mixed, softmax))| {
                self.forward_heads((row, key_head), inputs, mixed, softmax);
            });
        join(output, &mixed, [length, self.heads.size, padded]);
    }

    /// The query heads of a key head.
    fn forward_heads(
        &self,
        (row, key_head): (&Row, usize),
        [q, k, v]: [&[f32]; 3],
        mixed: &mut [f32],
        softmax: &mut [[f32; 2]],
    ) {
        let padded = self.padded_size();
        let stride = row.tokens.len().next_multiple_of(MULTIPLE);
        let keys = self.key_head(k, row, key_head).transposed(stride);
        let values = self.key_head(v, row, key_head).packed(padded);
        let mut scores = Vec::new();
        let mut factors = Vec::new();
        let mut done = 0;
        for block in self.blocks(row, key_head) {
            let (height, width) = (block.queries.len(), block.keys.len());
            scores.resize(height * width, 0.0);
            let queries = self.query_head(q, row, block.head);
            product(
                Matrix::new(&mut scores[..], width),
                queries.left(&block.queries),
                Matrix::new(&keys[block.keys.start..], stride),
                [height, width, self.heads.size],
                false,
            );
            let softmax = &mut softmax[done..done + height];
            vectorized(
                #[inline(always)]
                || self.weigh((row, &block), &mut scores, softmax, &mut factors),
            );
            product(
                Matrix::new(&mut mixed[done * padded..], padded),
                Left::rows(&scores, width),
                Matrix::new(&values[block.keys.start * padded..], padded),
                [height, padded, block.num_keys],
                false,
            );
            done += height;
        }
    }

    /// Makes weights of scores, dropout included.
    #[inline(always)]
    fn weigh(
        &self,
        (row, block): (&Row, &Block),
        scores: &mut [f32],
        softmax: &mut [[f32; 2]],
        factors: &mut Vec<f32>,
    ) {
        let queries = block.queries.clone().zip(softmax);
        let lines = scores.chunks_exact_mut(block.keys.len()).zip(queries);
        for (weights, (query, softmax)) in lines {
            let seen = block.columns(&self.seen(query, row.tokens.len()));
            let largest = math::maximum(&weights[seen.clone()]);
            let sum = self.exponentials(weights, seen, largest);
            let factor = 1.0 / sum;
            *softmax = [largest, factor];
            match self.factors(row, block, query, factors) {
                Some(factors) => {
                    for (weight, dropped) in weights.iter_mut().zip(factors) {
                        *weight *= factor * dropped;
                    }
                }
                None => weights.iter_mut().for_each(|weight| *weight *= factor),
            }
        }
    }

    /// Replaces the scores of what is seen by their exponentials, and the others by zero; gives the sum.
    #[inline(always)]
    pub(super) fn exponentials(
        &self,
        scores: &mut [f32],
        seen: std::ops::Range<usize>,
        largest: f32,
    ) -> f32 {
        let scale = self.scale();
        scores[..seen.start].fill(0.0);
        scores[seen.end..].fill(0.0);
        let scores = &mut scores[seen];
        for score in scores.iter_mut() {
            *score = math::exp((*score - largest) * scale);
        }
        math::sum(scores)
    }
}
