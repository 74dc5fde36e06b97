//! All documents as one stream, cut into blocks.

use std::ops::Range;
use std::sync::Arc;

use crate::error::CorpusError;
use crate::store::TokenStore;

/// Blocks of a stream in which every document stands between the same tokens.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    store: Arc<TokenStore>,
    /// What the stream has before each document.
    before: Arc<[u32]>,
    /// What it has after each document.
    after: Arc<[u32]>,
    /// What each block begins with, beside the stream.
    opening: Arc<[u32]>,
    /// What each block ends with, beside the stream.
    closing: Arc<[u32]>,
    /// Tokens of the whole stream.
    total: u64,
    /// Tokens of the stream in a block.
    size: u64,
    /// The last block begins one token early, so that it has two.
    is_early: bool,
}

impl Blocks {
    pub(super) fn causal(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        // A last block of one token can be made one of two only if the one before keeps two.
        let size = room(max_length, 0, 3)?;
        let frame = &store.frame;
        let mut blocks = Self {
            store: Arc::clone(store),
            before: frame.before.clone().into(),
            after: frame.after.clone().into(),
            opening: Arc::default(),
            closing: Arc::default(),
            total: 0,
            size,
            is_early: false,
        };
        blocks.total = store.tokens() + store.documents() as u64 * blocks.extra();
        blocks.is_early = blocks.total > size && blocks.total % size == 1;
        Ok(blocks)
    }

    pub(super) fn masked(store: &Arc<TokenStore>, max_length: usize) -> Result<Self, CorpusError> {
        let frame = &store.frame;
        let special = frame.before.len() + frame.after.len();
        // Of two tokens in a row, one is of a text.
        let size = room(max_length, special, 2)?;
        let separator: Arc<[u32]> = frame.after.iter().copied().take(1).collect();
        let between = (store.documents() as u64 - 1) * separator.len() as u64;
        Ok(Self {
            store: Arc::clone(store),
            before: Arc::default(),
            after: separator,
            opening: frame.before.clone().into(),
            closing: frame.after.clone().into(),
            total: store.tokens() + between,
            size,
            is_early: false,
        })
    }

    pub(super) fn store(&self) -> &Arc<TokenStore> {
        &self.store
    }

    pub(super) fn len(&self) -> usize {
        self.total.div_ceil(self.size) as usize
    }

    pub(super) fn length(&self, index: usize) -> usize {
        let places = self.places(index);
        self.opening.len() + (places.end - places.start) as usize + self.closing.len()
    }

    pub(super) fn ids(&self, index: usize) -> Result<Vec<u32>, CorpusError> {
        let mut ids = Vec::with_capacity(self.length(index));
        ids.extend_from_slice(&self.opening);
        self.write(self.places(index), &mut ids)?;
        ids.extend_from_slice(&self.closing);
        Ok(ids)
    }

    /// Where a block lies in the stream.
    fn places(&self, index: usize) -> Range<u64> {
        let index = index as u64;
        let (mut start, mut end) = (index * self.size, (index + 1) * self.size);
        if self.is_early && end > self.total {
            start -= 1;
        }
        if self.is_early && end + 1 == self.total {
            end -= 1;
        }
        start..end.min(self.total)
    }

    /// How many tokens are added to each document.
    fn extra(&self) -> u64 {
        (self.before.len() + self.after.len()) as u64
    }

    /// Adds a part of the stream.
    fn write(&self, places: Range<u64>, out: &mut Vec<u32>) -> Result<(), CorpusError> {
        let stored = &self.store.stored;
        let mut document = stored.document_at(places.start, self.extra())?;
        let mut at = places.start;
        // The texts of neighboring documents lie side by side, so that one reading is enough for all.
        let mut text: Option<std::vec::IntoIter<u32>> = None;
        while at < places.end {
            let range = stored.document(document)?;
            let begin = range.start + document * self.extra();
            let text_begin = begin + self.before.len() as u64;
            let text_end = text_begin + (range.end - range.start);
            let end = text_end + self.after.len() as u64;
            let upto = places.end;
            out.extend_from_slice(part(&self.before, begin, at..upto));
            let wanted = at.max(text_begin)..upto.min(text_end);
            if wanted.start < wanted.end {
                let first = range.start + (wanted.start - text_begin);
                let text = match &mut text {
                    Some(text) => text,
                    None => text.insert(self.text(first, upto - wanted.start)?),
                };
                out.extend(text.take((wanted.end - wanted.start) as usize));
            }
            out.extend_from_slice(part(&self.after, text_end, at..upto));
            (at, document) = (end, document + 1);
        }
        Ok(())
    }

    /// So many tokens of texts, or fewer at the end of the store.
    fn text(&self, first: u64, count: u64) -> Result<std::vec::IntoIter<u32>, CorpusError> {
        let end = (first + count).min(self.store.tokens());
        Ok(self.store.stored.tokens(first..end)?.into_iter())
    }
}

/// The tokens of a piece that begins at `begin`, as far as they lie in `wanted`.
fn part(piece: &[u32], begin: u64, wanted: Range<u64>) -> &[u32] {
    let clamp = |place: u64| place.saturating_sub(begin).min(piece.len() as u64) as usize;
    &piece[clamp(wanted.start)..clamp(wanted.end)]
}

/// Room for tokens of the stream beside special ones.
pub(super) fn room(max_length: usize, special: usize, least: usize) -> Result<u64, CorpusError> {
    let room = max_length.saturating_sub(special);
    if room < least {
        let least = special + least;
        return Err(CorpusError::NoRoom { max_length, least });
    }
    Ok(room as u64)
}
