//! The words of texts: which tokens are theirs, and what a teacher makes of them.

use rekindle_corpus::TextRows;
use rekindle_data::MaskVocabulary;
use rekindle_train::distillation::WordVectors;

use super::vectors::Vectors;
use crate::base::Base;
use crate::error::Error;

/// Texts from which the scale of a teacher's numbers is taken.
const TEXTS_OF_SCALE: usize = 2048;

/// Keeps a number that is always the same from being divided by 0.
const LEAST_DEVIATION: f32 = 1e-6;

/// Tells the words in a tokenizer's rows, special tokens around them included.
#[derive(Debug)]
pub(super) struct Words {
    vocabulary: MaskVocabulary,
    /// Special tokens before a text, and after it.
    frame: [usize; 2],
}

impl Words {
    pub(super) fn of(base: &Base) -> Result<Self, Error> {
        let frame = base.tokenizer.frame()?;
        Ok(Self {
            vocabulary: MaskVocabulary::of(&base.tokenizer)?,
            frame: frame.map(|tokens| tokens.len()),
        })
    }

    /// Positions of the tokens of a row that are not around it, each with the number of its word.
    pub(super) fn tokens(&self, ids: &[u32]) -> Vec<(usize, usize)> {
        let [before, after] = self.frame;
        let starts = self.vocabulary.word_starts(&ids[before..ids.len() - after]);
        let mut words = 0;
        let tokens = starts.into_iter().enumerate().map(|(token, is_start)| {
            words += usize::from(is_start || token == 0);
            (before + token, words - 1)
        });
        tokens.collect()
    }

    /// The mean state of each word of a row, one after the other; `states` begin with the row's tokens.
    pub(super) fn means(&self, ids: &[u32], states: &[f32], width: usize) -> Vec<f32> {
        let tokens = self.tokens(ids);
        let mut means = Vec::new();
        for word in tokens.chunk_by(|(_, word), (_, next)| word == next) {
            let start = means.len();
            means.resize(start + width, 0.0);
            for (position, _) in word {
                let state = &states[position * width..][..width];
                for (sum, number) in means[start..].iter_mut().zip(state) {
                    *sum += number / word.len() as f32;
                }
            }
        }
        means
    }

    /// Number of words in a row.
    pub(super) fn count(&self, ids: &[u32]) -> usize {
        self.tokens(ids).last().map_or(0, |(_, word)| word + 1)
    }

    /// Number of words in each of some rows.
    pub(super) fn counts(&self, rows: &TextRows) -> Result<Vec<usize>, Error> {
        let rows = (0..rows.len()).map(|index| Ok(self.count(&rows.ids(index)?)));
        rows.collect()
    }
}

/// The states of words that a teacher gives texts, and the words of the student's rows.
#[derive(Debug)]
pub(super) struct TaughtWords {
    vectors: Vectors,
    words: Words,
    /// Number of words of each text that the student is taught; none where it sees other words.
    counts: Vec<u32>,
    /// Of each number of a state, over the texts.
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl TaughtWords {
    /// `counts` are the numbers of words that the student sees.
    pub(super) fn new(vectors: Vectors, words: Words, counts: Vec<u32>) -> Result<Self, Error> {
        let step = counts.len().div_ceil(TEXTS_OF_SCALE).max(1);
        let width = vectors.width();
        let (mut sums, mut squares, mut count) = (vec![0.0; width], vec![0.0; width], 0.0_f64);
        for text in (0..counts.len()).step_by(step) {
            for state in vectors.get(text)?.chunks(width) {
                count += 1.0;
                for ((sum, square), &number) in sums.iter_mut().zip(&mut squares).zip(state) {
                    *sum += f64::from(number);
                    *square += f64::from(number) * f64::from(number);
                }
            }
        }
        let moments = sums.into_iter().zip(squares);
        let moments = moments.map(|(sum, square)| {
            let mean = sum / count.max(1.0);
            let variance = (square / count.max(1.0) - mean * mean).max(0.0);
            (mean as f32, (variance.sqrt() as f32).max(LEAST_DEVIATION))
        });
        let (mean, deviation) = moments.unzip();
        Ok(Self {
            vectors,
            words,
            counts,
            mean,
            deviation,
        })
    }

    /// Takes the scale of another's states.
    pub(super) fn scale_as(&mut self, other: &Self) {
        self.mean.clone_from(&other.mean);
        self.deviation.clone_from(&other.deviation);
    }

    /// How many texts have words that teacher and student split otherwise, so that none is taught.
    pub(super) fn untaught(&self) -> usize {
        self.counts.iter().filter(|&&count| count == 0).count()
    }

    /// What the row of a text learns.
    pub(super) fn get(&self, text: usize, ids: &[u32]) -> Result<WordVectors, Error> {
        let width = self.vectors.width();
        let mut words = self.vectors.get(text)?;
        let mut row = vec![0.0; width];
        for state in words.chunks_mut(width) {
            let scale = self.mean.iter().zip(&self.deviation);
            for ((number, sum), (mean, deviation)) in state.iter_mut().zip(&mut row).zip(scale) {
                *number = (*number - mean) / deviation;
                *sum += *number;
            }
            normalize(state);
        }
        normalize(&mut row);
        let taught = self.counts[text] as usize;
        let mut tokens = self.words.tokens(ids);
        tokens.retain(|(_, word)| *word < taught);
        Ok(WordVectors { row, words, tokens })
    }
}

/// Makes a vector as long as 1; one of zeros stays.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for number in vector.iter_mut() {
            *number /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_of_zeros_stays() {
        let mut vectors = [[3.0, 4.0], [0.0, 0.0]];
        for vector in &mut vectors {
            normalize(vector);
        }
        assert_eq!(vectors, [[0.6, 0.8], [0.0, 0.0]]);
    }
}
