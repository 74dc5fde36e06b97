//! The teacher of a distillation: a larger encoder, and the vectors that it gives to texts.

use std::path::Path;

use burn::tensor::Tensor;
use rekindle_bert::{BertConfig, SentenceEncoder};
use rekindle_corpus::{TextRows, TokenStore};
use rekindle_data::TaskKind;
use rekindle_hub::Progress;
use rekindle_nn::{Input, TrainBackend};
use rekindle_train::batch::Layout;
use rekindle_train::objective::Objective;
use rekindle_train::task::{Device, Inner, TrainableBackend};
use sha2::{Digest, Sha256};

use super::error::TextsError;
use super::vectors::{Counts, Sink, Vectors};
use super::words::Words;
use crate::architecture::Architecture;
use crate::backend::{Choice, Job};
use crate::base::Base;
use crate::error::Error;
use crate::hashes::{digits, weights};

/// Texts that are run and written at a time, sorted by length among themselves.
const TEXTS_AT_ONCE: usize = 2048;

/// Texts of a forward pass.
const BATCH_SIZE: usize = 64;

/// A model whose vectors another one learns.
#[derive(Debug)]
pub(crate) struct Teacher {
    base: Base,
    /// With the blocks that are run.
    config: BertConfig,
    /// The block whose states of words are taught; the vectors of texts if absent.
    layer: Option<usize>,
    /// Tokens of a text; what comes after them is not read.
    max_length: usize,
}

impl Teacher {
    /// A teacher of texts, or of words as they are after a block, that reads so many tokens, or as many as
    /// it can.
    pub(crate) fn new(base: Base, layer: Option<usize>, max_length: usize) -> Result<Self, Error> {
        let Architecture::Bert(config) = &base.architecture else {
            let path = base.folder.clone();
            return Err(TextsError::DecoderTeacher { path }.into());
        };
        let mut config = config.clone();
        if let Some(layer) = layer {
            if !(1..=config.num_layers).contains(&layer) {
                let (asked, most) = (layer, config.num_layers);
                return Err(TextsError::NoSuchLayer { asked, most }.into());
            }
            config.num_layers = layer;
        }
        let max_length = max_length.min(config.max_length());
        Ok(Self {
            base,
            config,
            layer,
            max_length,
        })
    }

    /// The model.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// What a student of this teacher learns.
    pub(crate) fn objective(&self) -> Objective {
        match self.layer {
            Some(_) => Objective::word_distillation(self.width()),
            None => Objective::distillation(self.width()),
        }
    }

    /// Whether words are taught.
    pub(super) fn teaches_words(&self) -> bool {
        self.layer.is_some()
    }

    /// Tokens of a text that are read.
    pub(super) fn max_length(&self) -> usize {
        self.max_length
    }

    /// Numbers of a vector.
    fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// The vectors of rows that are in this model's tokens: one for each, or one for each of its words, whose
    /// number stands beside what tells them.
    pub(super) fn vectors(
        &self,
        rows: &TextRows,
        words: Option<(&Words, &[usize])>,
        (backend, cache): (&Choice, &Path),
        progress: &mut dyn Progress,
    ) -> Result<Vectors, Error> {
        let path = cache
            .join("vectors")
            .join(format!("{}.f16", self.key(rows.store())?));
        let counts = match words {
            Some((_, counts)) => Counts::of(counts),
            None => Counts::One(rows.len()),
        };
        let words = words.map(|(words, _)| words);
        Vectors::open(&path, (counts, self.width()), |from, sink| {
            backend.run(Teaching {
                teacher: self,
                rows,
                words,
                layout: backend.layout(),
                from,
                sink,
                progress,
            })
        })
    }

    /// Tells vectors apart: by the weights, the tokens of the texts, how many of them are read, and the block.
    fn key(&self, store: &TokenStore) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        for (name, hash) in weights(&self.base.folder)? {
            hasher.update(format!("{name} {hash}\n"));
        }
        hasher.update(format!("{} {}\n", store.key(), self.max_length));
        if let Some(layer) = self.layer {
            hasher.update(format!("words after block {layer}\n"));
        }
        Ok(digits(hasher))
    }
}

/// Computes vectors as a [`Job`].
struct Teaching<'a> {
    teacher: &'a Teacher,
    rows: &'a TextRows,
    /// Tells the words, where each has a vector.
    words: Option<&'a Words>,
    layout: Layout,
    /// The first text without a vector.
    from: usize,
    sink: &'a mut Sink,
    progress: &'a mut dyn Progress,
}

impl Job for Teaching<'_> {
    type Output = Result<(), Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let Teacher { base, config, .. } = self.teacher;
        let model = config.sentence_encoder::<Inner<B>>(device);
        let (model, _) = base.load::<Inner<B>, _>(model, TaskKind::Distill, true, 0)?;
        let [there, all] = self.sink.bytes();
        self.progress.start("vectors of the teacher", all);
        self.progress.advance(there);
        let mut from = self.from;
        while from < self.rows.len() {
            let texts = TEXTS_AT_ONCE.min(self.rows.len() - from);
            let vectors = self.embed(&model, (from, texts), device)?;
            let written = self.sink.write(&vectors);
            let bytes = written.map_err(|source| Error::Write {
                path: "the cache of vectors".into(),
                source,
            })?;
            self.progress.advance(bytes);
            from += texts;
        }
        self.progress.finish();
        Ok(())
    }
}

impl Teaching<'_> {
    /// The vectors of some texts, one after the other.
    fn embed<B: TrainBackend>(
        &self,
        model: &SentenceEncoder<B>,
        (from, texts): (usize, usize),
        device: &Device<B>,
    ) -> Result<Vec<f32>, Error> {
        let mut order: Vec<usize> = (from..from + texts).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(self.rows.length(index)));
        let mut vectors = vec![Vec::new(); texts];
        for indices in order.chunks(BATCH_SIZE) {
            let ids = indices.iter().map(|&index| self.rows.ids(index));
            let ids: Vec<Vec<u32>> = ids.collect::<Result<_, _>>()?;
            let places = self.layout.rows(ids.iter().map(Vec::len).collect());
            let tokens = places.spread(0, |row, position| ids[row][position]);
            let segments = vec![0; tokens.len()];
            let input = Input::new(&tokens, &segments, device);
            let found = match self.words {
                Some(words) => {
                    let states = model.states(input, &places).into_data();
                    let states: Vec<f32> = states.iter::<f32>().collect();
                    let width = self.teacher.width();
                    let rows = ids.iter().zip(places.starts());
                    rows.map(|(ids, start)| words.means(ids, &states[start * width..], width))
                        .collect()
                }
                None => rows_of(model.forward(input, &places)),
            };
            for (&index, vector) in indices.iter().zip(found) {
                vectors[index - from] = vector;
            }
        }
        Ok(vectors.concat())
    }
}

/// The rows of a matrix.
fn rows_of<B: TrainBackend>(matrix: Tensor<B, 2>) -> Vec<Vec<f32>> {
    let [_, width] = matrix.dims();
    let numbers: Vec<f32> = matrix.into_data().iter::<f32>().collect();
    numbers.chunks(width).map(<[f32]>::to_vec).collect()
}
