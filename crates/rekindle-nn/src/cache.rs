//! Keys and values of tokens that were read before.

use burn::tensor::{Tensor, backend::Backend};

use crate::{Columns, Heads, Masks, composed};

/// Keys and values of a decoder, room for all columns made beforehand.
#[derive(Clone, Debug)]
pub struct KvCache<B: Backend> {
    /// One for each block.
    pub layers: Vec<LayerCache<B>>,
}

/// Keys and values of one block, `[R, K, columns, C]` each.
#[derive(Clone, Debug)]
pub struct LayerCache<B: Backend> {
    pub(crate) keys: Tensor<B, 4>,
    pub(crate) values: Tensor<B, 4>,
}

impl<B: Backend> KvCache<B> {
    /// Room for `columns` tokens of each of `rows` rows.
    pub fn new(
        num_blocks: usize,
        heads: Heads,
        [rows, columns]: [usize; 2],
        device: &B::Device,
    ) -> Self {
        let room = || Tensor::zeros([rows, heads.keys, columns, heads.size], device);
        let layer = || LayerCache {
            keys: room(),
            values: room(),
        };
        Self {
            layers: (0..num_blocks).map(|_| layer()).collect(),
        }
    }

    /// Keeps these rows alone, in this order.
    pub fn keep(&mut self, rows: &[usize]) {
        let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        for layer in &mut self.layers {
            let rows = Tensor::from_data(rows.as_slice(), &layer.keys.device());
            layer.keys = layer.keys.clone().select(0, rows.clone());
            layer.values = layer.values.clone().select(0, rows);
        }
    }
}

impl<B: Backend> LayerCache<B> {
    /// Adds the keys and values of new columns, and lets their queries attend over all columns so far.
    ///
    /// Slots of padding get numbers that mean nothing.
    ///
    /// # Shapes
    /// - q, output: `[N, H·C]`; k, v: `[N, K·C]`, with `N` the slots of the columns
    ///
    /// # Panics
    /// If the cache has no room for the columns, or other rows.
    pub fn attend(
        &mut self,
        qkv: [Tensor<B, 2>; 3],
        heads: Heads,
        columns: &Columns,
        masks: &Masks<B>,
    ) -> Tensor<B, 2> {
        let [rows, _, room, _] = self.keys.dims();
        assert_eq!(rows, columns.padding.len(), "a cache keeps its rows");
        assert!(
            columns.past + columns.width <= room,
            "a cache has room for all columns"
        );
        composed::attend_cached(self, qkv, heads, columns, masks)
    }
}
