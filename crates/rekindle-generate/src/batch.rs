//! Rows that a model reads column by column.

use burn::tensor::{Int, Tensor};
use rekindle_nn::{CausalLm, Columns, KvCache, Slots, TrainBackend};

/// Rows of equal width, padded on the left, and what the model has read of them.
pub(crate) struct Batch<'a, B: TrainBackend, M> {
    model: &'a M,
    device: &'a B::Device,
    cache: KvCache<B>,
    padding: Vec<usize>,
    past: usize,
}

impl<'a, B: TrainBackend, M: CausalLm<B>> Batch<'a, B, M> {
    /// Rows of these lengths, with room for all columns that will be read.
    pub(crate) fn new(
        model: &'a M,
        lengths: &[usize],
        columns: usize,
        device: &'a B::Device,
    ) -> Self {
        let width = lengths.iter().copied().max().unwrap_or(0);
        let room = [lengths.len(), columns];
        Self {
            model,
            device,
            cache: KvCache::new(model.num_blocks(), model.heads(), room, device),
            padding: lengths.iter().map(|length| width - length).collect(),
            past: 0,
        }
    }

    /// Reads the prompts and returns the logits of the token after each.
    pub(crate) fn read_prompts(&mut self, prompts: &[&[u32]]) -> Vec<Vec<f32>> {
        let rows = prompts.iter().zip(&self.padding);
        // What stands in the padding is never looked at.
        let row = |(prompt, padding): (&&[u32], &usize)| [&vec![0; *padding], *prompt].concat();
        let ids: Vec<u32> = rows.flat_map(row).collect();
        self.read(&ids)
    }

    /// Reads the next columns, row by row, and returns the logits of the token after each row.
    pub(crate) fn read(&mut self, ids: &[u32]) -> Vec<Vec<f32>> {
        let rows = self.padding.len();
        let columns = Columns {
            padding: self.padding.clone(),
            past: self.past,
            width: ids.len() / rows,
        };
        let width = columns.width;
        self.past += width;
        let place = self.model.place(Slots::Columns(columns), self.device);
        let mut hidden = self.model.embed(self.tensor(ids.iter().copied()), &place); // [R·W, D]
        for (index, layer) in self.cache.layers.iter_mut().enumerate() {
            hidden = self.model.block(index, hidden, &place, Some(layer));
        }
        let lasts = (1..=rows).map(|row| (row * width - 1) as u32);
        let hidden = self.model.norm(hidden.select(0, self.tensor(lasts))); // [R, D]
        let logits = self.model.project(hidden).into_data().convert::<f32>(); // [R, V]
        let logits = logits.into_vec::<f32>().expect("just converted");
        let rows = logits.chunks(self.model.vocabulary());
        rows.map(<[f32]>::to_vec).collect()
    }

    /// Goes on with these rows alone.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        self.cache.keep(rows);
        self.padding = rows.iter().map(|&row| self.padding[row]).collect();
    }

    fn tensor(&self, ids: impl Iterator<Item = u32>) -> Tensor<B, 1, Int> {
        let ids: Vec<i32> = ids.map(|id| id as i32).collect();
        Tensor::from_data(ids.as_slice(), self.device)
    }
}
