//! Attention composed of Burn's operations, over whole rows and over the columns of a cache.

use burn::tensor::{DType, Tensor, activation, backend::Backend};

use crate::masks::{Grid, Masks, add, padding_bias, sight_bias};
use crate::{Columns, Dropout, Heads, LayerCache, Noise, Rows, Sight, TrainBackend, cast};

/// See [`TrainBackend::attend`].
pub(crate) fn attend<B: TrainBackend>(
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    dropout: &Dropout,
    rows: &Rows,
    masks: &Masks<B>,
) -> Tensor<B, 2> {
    if heads.sight == Sight::FromFirst {
        return attend_from_first([q, k, v], heads, dropout, rows);
    }
    let grid = masks.grid(rows, &q.device());
    let size = grid.size;
    let split = |x, number| split(grid.spread(x), size, [number, heads.size]);
    let (q, k, v) = (
        split(q, heads.queries),
        split(k, heads.keys),
        split(v, heads.keys),
    );
    let bias = masks.bias(heads.sight, || {
        let sight = sight_bias(heads.sight, [0, size[1]], &q.device());
        add(grid.bias.clone(), sight)
    });
    let mixed = mix([q, k, v], bias, dropout, rows.noise());
    grid.collect(join(mixed))
}

/// The first token of each row alone, over all of its row.
fn attend_from_first<B: Backend>(
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    dropout: &Dropout,
    rows: &Rows,
) -> Tensor<B, 2> {
    let grid = Grid::of_lines(rows, &q.device());
    let q = split(q, [rows.len(), 1], [heads.queries, heads.size]);
    let [k, v] = [k, v].map(|x| split(grid.spread(x), grid.size, [heads.keys, heads.size]));
    join(mix([q, k, v], grid.bias, dropout, rows.noise()))
}

/// See [`LayerCache::attend`].
pub(crate) fn attend_cached<B: Backend>(
    cache: &mut LayerCache<B>,
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    columns: &Columns,
    masks: &Masks<B>,
) -> Tensor<B, 2> {
    let (rows, end) = (columns.padding.len(), columns.past + columns.width);
    let split = |x, number| split(x, [rows, columns.width], [number, heads.size]);
    let (q, k, v) = (
        split(q, heads.queries),
        split(k, heads.keys),
        split(v, heads.keys),
    );
    let new = [0..rows, 0..heads.keys, columns.past..end, 0..heads.size];
    let all = [0..rows, 0..heads.keys, 0..end, 0..heads.size];
    let put = |room: &mut Tensor<B, 4>, x: Tensor<B, 4>| {
        // A tensor that nobody else holds is written in place.
        let whole = std::mem::replace(room, Tensor::zeros([1; 4], &x.device()));
        let whole = cast(whole, x.dtype());
        *room = whole.slice_assign(new.clone(), x);
        room.clone().slice(all.clone())
    };
    let (k, v) = (put(&mut cache.keys, k), put(&mut cache.values, v));
    let device = q.device();
    let bias = masks.bias(heads.sight, || {
        let padding = padding_bias(&columns.padding, end, &device);
        let sight = sight_bias(heads.sight, [columns.past, columns.width], &device);
        add(padding, sight)
    });
    join(mix([q, k, v], bias, &Dropout::new(0.0, 0), None))
}

/// `[B·T, H·C]` to `[B, H, T, C]`.
fn split<B: Backend>(
    x: Tensor<B, 2>,
    [rows, width]: [usize; 2],
    [number, size]: [usize; 2],
) -> Tensor<B, 4> {
    x.reshape([rows, width, number, size]).swap_dims(1, 2)
}

/// `[B, H, T, C]` to `[B·T, H·C]`.
fn join<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 2> {
    let [rows, number, width, size] = x.dims();
    x.swap_dims(1, 2).reshape([rows * width, number * size])
}

/// Softmax attention of queries `[B, H, T, C]` over keys and values `[B, K, S, C]`.
///
/// The query heads that share a key head are laid below each other, so that no key is ever repeated.
fn mix<B: Backend>(
    [q, k, v]: [Tensor<B, 4>; 3],
    bias: Option<Tensor<B, 4>>,
    dropout: &Dropout,
    noise: Option<Noise>,
) -> Tensor<B, 4> {
    let [rows, queries, width, size] = q.dims();
    let [_, keys, seen, _] = k.dims();
    let group = queries / keys * width;
    let scores = q
        .reshape([rows, keys, group, size])
        .matmul(k.transpose()) // [B, K, H/K·T, S]
        .reshape([rows, queries, width, seen])
        / (size as f64).sqrt();
    let dtype = scores.dtype();
    let scores = cast(scores, DType::F32);
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    let weights = dropout.compose(cast(activation::softmax(scores, 3), dtype), noise);
    weights
        .reshape([rows, keys, group, seen])
        .matmul(v) // [B, K, H/K·T, C]
        .reshape([rows, queries, width, size])
}
