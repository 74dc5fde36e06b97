//! Masked language modelling (Devlin et al., 2018): which tokens are hidden, and behind what.
//!
//! What is hidden of a row is a pure function of the row's tokens, the settings, and a [`Draw`].

mod vocabulary;

use crate::{Purpose, Seeded};

pub use vocabulary::MaskVocabulary;

/// The part of the hidden tokens that the mask token stands for.
const MASKED: f64 = 0.8;

/// The part that another token stands for; the rest stays as it is.
const REPLACED: f64 = 0.1;

/// Hides tokens of rows.
#[derive(Clone, Debug)]
pub struct Masker {
    /// What the tokens are.
    pub vocabulary: MaskVocabulary,
    /// The part of the ordinary tokens that is hidden: each is drawn apart, as transformers does it.
    pub probability: f64,
    /// Whether all tokens of a word are hidden together; then words are drawn.
    pub whole_word: bool,
}

/// What decides the random numbers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// The pass over the rows, from 0.
    pub epoch: u64,
    /// The row among all rows.
    pub row: u64,
}

/// A token that is to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenToken {
    /// Where in its row.
    pub position: usize,
    /// What it was.
    pub id: u32,
}

/// A row after some of its tokens were hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Its tokens, as many as before.
    pub ids: Vec<u32>,
    /// Those that were hidden, in order; those that stayed as they are included.
    pub hidden: Vec<HiddenToken>,
}

impl Masker {
    /// Hides tokens of a row.
    ///
    /// Special tokens are never hidden, nor written in another's place but the mask. If chance hides
    /// none, one token (or word) is; a row of special tokens alone has nothing to hide.
    pub fn mask(&self, ids: &[u32], draw: Draw) -> Masked {
        let mut random = Seeded::at(draw.seed, Purpose::Mask, [draw.epoch, draw.row]);
        let units = self.units(ids);
        let mut chosen: Vec<&Vec<usize>> = units
            .iter()
            .filter(|_| random.uniform() < self.probability)
            .collect();
        if chosen.is_empty() && !units.is_empty() {
            chosen.push(&units[random.below(units.len())]);
        }
        let mut masked = Masked {
            ids: ids.to_vec(),
            hidden: Vec::new(),
        };
        for &position in chosen.into_iter().flatten() {
            masked.hidden.push(HiddenToken {
                position,
                id: ids[position],
            });
            masked.ids[position] = self.in_place_of(ids[position], &mut random);
        }
        masked
    }

    /// What is hidden together: the positions of a word, or one position.
    fn units(&self, ids: &[u32]) -> Vec<Vec<usize>> {
        let mut units: Vec<Vec<usize>> = Vec::new();
        for (position, starts) in self.vocabulary.word_starts(ids).into_iter().enumerate() {
            if self.vocabulary.is_special(ids[position]) {
                continue;
            }
            match units.last_mut() {
                Some(unit) if self.whole_word && !starts => unit.push(position),
                _ => units.push(vec![position]),
            }
        }
        units
    }

    fn in_place_of(&self, id: u32, random: &mut Seeded) -> u32 {
        let choice = random.uniform();
        let ordinary = self.vocabulary.ordinary();
        if choice < MASKED {
            self.vocabulary.mask()
        } else if choice < MASKED + REPLACED {
            ordinary[random.below(ordinary.len())]
        } else {
            id
        }
    }
}
