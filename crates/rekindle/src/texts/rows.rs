//! Raw text as rows that a run learns from, each made when a step needs it.

use std::borrow::Cow;
use std::sync::Arc;

use rekindle_corpus::TextRows;
use rekindle_data::{Draw, Masker};
use rekindle_train::batch::{Row, RowFailure, RowSource};
use rekindle_train::objective::Target;

use super::vectors::Vectors;
use super::words::TaughtWords;

/// What is to be learned of each row.
pub(super) enum Lesson {
    /// Every token but the first, from those before it.
    NextToken,
    /// The tokens that are hidden; others in each epoch.
    Hidden { masker: Masker, seed: u64 },
    /// The teacher's vector of its document.
    Vector(Vectors),
    /// The teacher's states of its document's words, some of which are hidden from the student while it
    /// learns; others in each epoch.
    Words {
        words: Box<TaughtWords>,
        masker: Option<Masker>,
        seed: u64,
    },
}

impl Lesson {
    /// Scales what is learned as in another lesson, so that one is judged by what the other teaches.
    pub(super) fn scale_as(&mut self, other: &Self) {
        if let (Self::Words { words, .. }, Self::Words { words: other, .. }) = (self, other) {
            words.scale_as(other);
        }
    }

    /// What is to be said of texts that teach less than others.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Words { words, .. } if words.untaught() > 0 => Some(format!(
                "{} texts have other words for the teacher: of them, only the whole is learned",
                words.untaught()
            )),
            _ => None,
        }
    }
}

/// Rows of a text with what is to be learned of them.
pub(super) struct Lessons {
    rows: TextRows,
    lesson: Arc<Lesson>,
    /// Whether the rows are judged by, and not learned from.
    are_judged: bool,
}

impl Lessons {
    /// Rows to learn from.
    pub(super) fn new(rows: TextRows, lesson: &Arc<Lesson>) -> Self {
        Self {
            rows,
            lesson: Arc::clone(lesson),
            are_judged: false,
        }
    }

    /// Rows to be judged by.
    pub(super) fn judged(rows: TextRows, lesson: &Arc<Lesson>) -> Self {
        Self {
            are_judged: true,
            ..Self::new(rows, lesson)
        }
    }
}

impl RowSource for Lessons {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn length(&self, index: usize) -> usize {
        self.rows.length(index)
    }

    fn row(&self, index: usize, epoch: usize) -> Result<Cow<'_, Row>, RowFailure> {
        let ids = self.rows.ids(index)?;
        // A number that does not change when other rows are held out.
        let number = self.rows.number(index);
        let draw = |seed| Draw {
            seed,
            epoch: epoch as u64,
            row: number as u64,
        };
        let (ids, target) = match self.lesson.as_ref() {
            Lesson::NextToken => {
                let mut weights = vec![1.0; ids.len()];
                weights[0] = 0.0;
                (ids, Target::Tokens(weights))
            }
            Lesson::Hidden { masker, seed } => {
                let masked = masker.mask(&ids, draw(*seed));
                (masked.ids, Target::Masked(masked.hidden))
            }
            Lesson::Vector(vectors) => (ids, Target::Vector(vectors.get(number)?)),
            Lesson::Words {
                words,
                masker,
                seed,
            } => {
                let target = Target::Words(words.get(number, &ids)?);
                let ids = match masker {
                    Some(masker) if !self.are_judged => masker.mask(&ids, draw(*seed)).ids,
                    _ => ids,
                };
                (ids, target)
            }
        };
        Ok(Cow::Owned(Row {
            type_ids: vec![0; ids.len()],
            ids,
            target,
            number: number + 1,
        }))
    }
}
