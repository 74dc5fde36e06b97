//! Raw text as rows that a run learns from, each made when a step needs it.

use std::borrow::Cow;

use rekindle_corpus::TextRows;
use rekindle_data::{Draw, Masker};
use rekindle_train::batch::{Row, RowFailure, RowSource};
use rekindle_train::objective::Target;

use super::vectors::Vectors;

/// What is to be learned of each row.
pub(super) enum Lesson {
    /// Every token but the first, from those before it.
    NextToken,
    /// The tokens that are hidden; others in each epoch.
    Hidden { masker: Masker, seed: u64 },
    /// The teacher's vector of its document.
    Vector(Vectors),
}

/// Rows of a text with what is to be learned of them.
pub(super) struct Lessons {
    rows: TextRows,
    lesson: std::sync::Arc<Lesson>,
}

impl Lessons {
    pub(super) fn new(rows: TextRows, lesson: &std::sync::Arc<Lesson>) -> Self {
        let lesson = std::sync::Arc::clone(lesson);
        Self { rows, lesson }
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
        let (ids, target) = match self.lesson.as_ref() {
            Lesson::NextToken => {
                let mut weights = vec![1.0; ids.len()];
                weights[0] = 0.0;
                (ids, Target::Tokens(weights))
            }
            Lesson::Hidden { masker, seed } => {
                let draw = Draw {
                    seed: *seed,
                    epoch: epoch as u64,
                    row: number as u64,
                };
                let masked = masker.mask(&ids, draw);
                (masked.ids, Target::Masked(masked.hidden))
            }
            Lesson::Vector(vectors) => (ids, Target::Vector(vectors.get(number)?)),
        };
        Ok(Cow::Owned(Row {
            type_ids: vec![0; ids.len()],
            ids,
            target,
            number: number + 1,
        }))
    }
}
