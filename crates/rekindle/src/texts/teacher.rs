//! The teacher of a distillation: a larger encoder, and the vectors that it gives to texts.

use std::path::Path;
use std::sync::Arc;

use rekindle_bert::{BertConfig, SentenceEncoder};
use rekindle_corpus::{TextRows, TokenStore};
use rekindle_data::TaskKind;
use rekindle_hub::Progress;
use rekindle_nn::{Input, TrainBackend};
use rekindle_train::batch::Layout;
use rekindle_train::task::{Inner, TrainableBackend};
use sha2::{Digest, Sha256};

use super::error::TextsError;
use super::vectors::{Sink, Vectors};
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
    config: BertConfig,
    /// Tokens of a text; what comes after them is not read.
    max_length: usize,
}

impl Teacher {
    /// A teacher that reads so many tokens, or as many as it can.
    pub(crate) fn new(base: Base, max_length: usize) -> Result<Self, Error> {
        let Architecture::Bert(config) = &base.architecture else {
            let path = base.folder.clone();
            return Err(TextsError::DecoderTeacher { path }.into());
        };
        let config = config.clone();
        let max_length = max_length.min(config.max_length());
        Ok(Self {
            base,
            config,
            max_length,
        })
    }

    /// The model.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Numbers of a vector.
    pub(crate) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// The vectors of all documents of a store that holds them in this model's tokens.
    pub(crate) fn vectors(
        &self,
        store: &Arc<TokenStore>,
        (backend, cache): (&Choice, &Path),
        progress: &mut dyn Progress,
    ) -> Result<Vectors, Error> {
        let rows = TextRows::sentences(store, self.max_length)?;
        let path = cache
            .join("vectors")
            .join(format!("{}.f16", self.key(store)?));
        let shape = [rows.len(), self.width()];
        Vectors::open(&path, shape, |from, sink| {
            backend.run(Teaching {
                teacher: self,
                rows: &rows,
                layout: backend.layout(),
                from,
                sink,
                progress,
            })
        })
    }

    /// Tells vectors apart: by the weights, the tokens of the texts, and how many of them are read.
    fn key(&self, store: &TokenStore) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        for (name, hash) in weights(&self.base.folder)? {
            hasher.update(format!("{name} {hash}\n"));
        }
        hasher.update(format!("{} {}\n", store.key(), self.max_length));
        Ok(digits(hasher))
    }
}

/// Computes vectors as a [`Job`].
struct Teaching<'a> {
    teacher: &'a Teacher,
    rows: &'a TextRows,
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
        let bytes = |texts: usize| (texts * self.teacher.width() * size_of::<u16>()) as u64;
        self.progress
            .start("vectors of the teacher", bytes(self.rows.len()));
        self.progress.advance(bytes(self.from));
        let mut from = self.from;
        while from < self.rows.len() {
            let texts = TEXTS_AT_ONCE.min(self.rows.len() - from);
            let vectors = embed(&model, self.rows, (from, texts), self.layout, device)?;
            self.sink.write(&vectors).map_err(|source| Error::Write {
                path: "the cache of vectors".into(),
                source,
            })?;
            self.progress.advance(bytes(texts));
            from += texts;
        }
        self.progress.finish();
        Ok(())
    }
}

/// The vectors of some texts, one after the other.
fn embed<B: TrainBackend>(
    model: &SentenceEncoder<B>,
    rows: &TextRows,
    (from, texts): (usize, usize),
    layout: Layout,
    device: &<B as burn::tensor::backend::BackendTypes>::Device,
) -> Result<Vec<f32>, Error> {
    let mut order: Vec<usize> = (from..from + texts).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(rows.length(index)));
    let mut vectors = vec![Vec::new(); texts];
    for indices in order.chunks(BATCH_SIZE) {
        let ids = indices.iter().map(|&index| rows.ids(index));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_, _>>()?;
        let places = layout.rows(ids.iter().map(Vec::len).collect());
        let tokens = places.spread(0, |row, position| ids[row][position]);
        let segments = vec![0; tokens.len()];
        let found = model.forward(Input::new(&tokens, &segments, device), &places);
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let width = found.len() / indices.len();
        for (&index, vector) in indices.iter().zip(found.chunks(width)) {
            vectors[index - from] = vector.to_vec();
        }
    }
    Ok(vectors.concat())
}
