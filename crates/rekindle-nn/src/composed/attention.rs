//! Attention composed of Burn's operations, over whole rows and over the columns of a cache.

use burn::tensor::{Bool, DType, Int, Tensor, TensorData, activation, backend::Backend};

use crate::{Columns, Dropout, Heads, LayerCache, Noise, Rows, Sight, TrainBackend, cast};

/// Added to the scores of what a token does not see; their softmax is exactly zero in f32.
const UNSEEN: f32 = -1e30;

/// See [`TrainBackend::attend`].
pub(crate) fn attend<B: TrainBackend>(
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    dropout: &Dropout,
    rows: &Rows,
) -> Tensor<B, 2> {
    let grid = Grid::<B>::new(rows, &q.device());
    let size = grid.size;
    let split = |x, number| split(grid.spread(x), size, [number, heads.size]);
    let (q, k, v) = (
        split(q, heads.queries),
        split(k, heads.keys),
        split(v, heads.keys),
    );
    let bias = add(
        grid.bias.clone(),
        sight_bias(heads.sight, [0, size[1]], &q.device()),
    );
    let mixed = mix([q, k, v], bias, dropout, rows.noise());
    grid.collect(join(mixed))
}

/// See [`LayerCache::attend`].
pub(crate) fn attend_cached<B: Backend>(
    cache: &mut LayerCache<B>,
    [q, k, v]: [Tensor<B, 2>; 3],
    heads: Heads,
    columns: &Columns,
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
    let bias = add(
        padding_bias(&columns.padding, end, &device),
        sight_bias(heads.sight, [columns.past, columns.width], &device),
    );
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

fn add<B: Backend>(a: Option<Tensor<B, 4>>, b: Option<Tensor<B, 4>>) -> Option<Tensor<B, 4>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn bias<B: Backend>(unseen: Tensor<B, 4, Bool>) -> Tensor<B, 4> {
    cast(unseen.float(), DType::F32) * UNSEEN
}

/// Scores of what queries at the columns `past..past + width` do not see of the columns up to their
/// end, `[1, 1, width, past + width]`; `None` where they see all.
fn sight_bias<B: Backend>(
    sight: Sight,
    [past, width]: [usize; 2],
    device: &B::Device,
) -> Option<Tensor<B, 4>> {
    let end = past + width;
    let Sight::Causal { window } = sight else {
        return None;
    };
    let window = window.filter(|&window| window < end);
    if width == 1 && window.is_none() {
        return None;
    }
    let range =
        |from: usize, to: usize| Tensor::<B, 1, Int>::arange(from as i64..to as i64, device);
    let from = range(past, end).reshape([1, 1, width, 1]);
    let to = range(0, end).reshape([1, 1, 1, end]);
    let distance = from.expand([1, 1, width, end]) - to.expand([1, 1, width, end]);
    let unseen = distance.clone().lower_elem(0);
    Some(bias(match window {
        Some(window) => unseen.bool_or(distance.greater_equal_elem(window as i64)),
        None => unseen,
    }))
}

/// Scores of columns of padding at the left, `[B, 1, 1, columns]`; `None` where there are none.
fn padding_bias<B: Backend>(
    padding: &[usize],
    columns: usize,
    device: &B::Device,
) -> Option<Tensor<B, 4>> {
    let row = |&padding: &usize| (0..columns).map(move |column| unseen(column < padding));
    let bias = || padding.iter().flat_map(row).collect();
    padding
        .iter()
        .any(|&padding| padding > 0)
        .then(|| from_host(bias(), [padding.len(), columns], device))
}

fn unseen(is_unseen: bool) -> f32 {
    if is_unseen { UNSEEN } else { 0.0 }
}

/// `[B, 1, 1, S]`.
fn from_host<B: Backend>(
    bias: Vec<f32>,
    [rows, columns]: [usize; 2],
    device: &B::Device,
) -> Tensor<B, 4> {
    let data = TensorData::new(bias, [rows, 1, 1, columns]);
    cast(Tensor::from_data(data, device), DType::F32)
}

/// Rows laid out as a rectangle of `[B, T]` slots.
struct Grid<B: Backend> {
    size: [usize; 2],
    /// Scores of what belongs to no row or to another one, `[B, 1, 1, T]` or `[B, 1, T, T]`; `None` where
    /// a line of the rectangle is a row.
    bias: Option<Tensor<B, 4>>,
    /// Slot in `N` of each grid slot, and grid slot of each slot in `N`; `None` where they are the same.
    indices: Option<[Tensor<B, 1, Int>; 2]>,
}

impl<B: Backend> Grid<B> {
    fn new(rows: &Rows, device: &B::Device) -> Self {
        if let Some(size) = rows.packed_size() {
            return Self {
                size,
                bias: Some(segment_bias(rows, size, device)),
                indices: None,
            };
        }
        let width = rows.uniform_width().unwrap_or_else(|| rows.longest());
        let size = [rows.len(), width];
        let lengths = rows.lengths();
        let row = |&length: &usize| (0..width).map(move |slot| unseen(slot >= length));
        let bias = || lengths.iter().flat_map(row).collect();
        let is_padded = lengths.iter().any(|&length| length < width);
        let indices = rows.uniform_width().is_none().then(|| {
            let starts = rows.starts();
            let spread = (0..rows.len()).flat_map(|row| {
                let (start, length) = (starts[row], lengths[row]);
                // Padding repeats the row's first token: it is masked as a key and dropped as a query.
                (0..width).map(move |t| if t < length { start + t } else { start })
            });
            let collect = rows.spread(0, |row, position| row * width + position);
            [
                indices(spread, device),
                indices(collect.into_iter(), device),
            ]
        });
        Self {
            size,
            bias: is_padded.then(|| from_host(bias(), size, device)),
            indices,
        }
    }

    /// `[N, D]` to `[B·T, D]`.
    fn spread(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([spread, _]) => x.select(0, spread.clone()),
            None => x,
        }
    }

    /// `[B·T, D]` to `[N, D]`.
    fn collect(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.indices {
            Some([_, collect]) => x.select(0, collect.clone()),
            None => x,
        }
    }
}

/// Scores of tokens of other rows in the same pack, `[B, 1, T, T]`. Padding sees padding, so that it has
/// numbers.
fn segment_bias<B: Backend>(
    rows: &Rows,
    [packs, width]: [usize; 2],
    device: &B::Device,
) -> Tensor<B, 4> {
    let segments = rows.spread(rows.len(), |row, _| row);
    let segments = indices::<B>(segments.into_iter(), device);
    let grid = [packs, 1, width, width];
    let from = segments.clone().reshape([packs, 1, width, 1]).expand(grid);
    let to = segments.reshape([packs, 1, 1, width]).expand(grid);
    bias(from.not_equal(to))
}

fn indices<B: Backend>(
    slots: impl Iterator<Item = usize>,
    device: &B::Device,
) -> Tensor<B, 1, Int> {
    let slots: Vec<i32> = slots.map(|slot| slot as i32).collect();
    Tensor::from_data(slots.as_slice(), device)
}
