//! Each document as a row of its own.

use std::sync::Arc;

use super::blocks::room;
use crate::error::CorpusError;
use crate::store::TokenStore;

/// Documents between special tokens, with the length of each row in two bytes.
#[derive(Clone, Debug)]
pub(super) struct Sentences {
    store: Arc<TokenStore>,
    lengths: Arc<[u16]>,
    truncated: usize,
}

impl Sentences {
    pub(super) fn new(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        let special = store.frame.before.len() + store.frame.after.len();
        let max_length = max_length.min(usize::from(u16::MAX));
        let most = room(max_length, special, 1)?;
        let (mut lengths, mut truncated) = (Vec::with_capacity(store.documents()), 0);
        for document in 0..store.documents() as u64 {
            let places = store.stored.document(document)?;
            let length = places.end - places.start;
            truncated += usize::from(length > most);
            lengths.push(length.min(most) as u16 + special as u16);
        }
        Ok(Self {
            store: Arc::clone(store),
            lengths: lengths.into(),
            truncated,
        })
    }

    pub(super) fn store(&self) -> &Arc<TokenStore> {
        &self.store
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn length(&self, index: usize) -> usize {
        usize::from(self.lengths[index])
    }

    pub(super) fn ids(&self, index: usize) -> Result<Vec<u32>, CorpusError> {
        let frame = &self.store.frame;
        let places = self.store.stored.document(index as u64)?;
        let length = self.length(index) - frame.before.len() - frame.after.len();
        let text = self
            .store
            .stored
            .tokens(places.start..places.start + length as u64)?;
        Ok([&*frame.before, &text, &frame.after].concat())
    }

    pub(super) fn truncated(&self) -> usize {
        self.truncated
    }
}
