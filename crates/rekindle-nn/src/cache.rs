//! Keys and values of tokens that were read before.

use burn::tensor::{Tensor, backend::Backend};

use crate::Heads;

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
}
