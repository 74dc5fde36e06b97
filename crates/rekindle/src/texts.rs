//! Raw text as what a run learns from: which files are read so, and what each row of them teaches.

mod error;
mod rows;
mod teacher;
mod vectors;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_corpus::{Corpus, HELD_OUT, TextRows, TokenStore};
use rekindle_data::{
    Format, FormatGuess, MaskVocabulary, Masker, Records, TaskKind, is_text_alone,
};
use rekindle_hub::Progress;
use rekindle_train::batch::{Row, RowFailure, RowSource};
use rekindle_train::recipe::Recipe;

use crate::backend::Choice;
use crate::base::Base;
use crate::error::Error;
use crate::hashes::Hashes;

pub use error::TextsError;
pub(crate) use teacher::Teacher;

use rows::{Lesson, Lessons};
use words::{TaughtWords, Words};

/// The beginning of a file, by which it is told what it holds.
const HEAD: usize = 1 << 16;

/// Whether files are read as raw text: the task, if one is given, says so, or they hold nothing else.
pub(crate) fn are_texts(paths: &[PathBuf], task: Option<TaskKind>) -> Result<bool, Error> {
    match task {
        Some(TaskKind::Mask | TaskKind::Distill) if paths.is_empty() => {
            Err(TextsError::NoTexts.into())
        }
        Some(TaskKind::Mask | TaskKind::Distill) => Ok(true),
        Some(TaskKind::Generate) | None => {
            let is_given = task.is_some();
            let mut are_texts = !paths.is_empty();
            for path in paths {
                are_texts &= is_text(path, is_given)?;
            }
            Ok(are_texts)
        }
        Some(_) => Ok(false),
    }
}

/// Whether a path names raw text: a folder, a pattern, a plain text, or rows of which the first is a text
/// alone. A `.txt` may hold a table of another task, unless the task is given.
fn is_text(path: &Path, is_given: bool) -> Result<bool, Error> {
    if !path.is_file() {
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[']);
        return Ok(path.is_dir() || is_pattern);
    }
    let is_plain = path.extension().is_some_and(|extension| extension == "txt");
    match guess(path)?.map(|guess| guess.format) {
        Some(Format::Text) => Ok(true),
        Some(format @ Format::Jsonl) => {
            let first = Records::open(path, Some(format))?.next();
            let is_row = first.as_ref().is_some_and(Result::is_ok);
            let is_alone = first.is_some_and(|row| row.is_ok_and(|row| is_text_alone(&row)));
            Ok(is_alone || (is_given && is_plain && !is_row))
        }
        _ => Ok(is_given && is_plain),
    }
}

fn guess(path: &Path) -> Result<Option<FormatGuess>, Error> {
    use std::io::Read;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map(|file| file.take(HEAD as u64));
    let read = file.and_then(|mut file| file.read_to_end(&mut head));
    read.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Format::infer(path, &head))
}

/// What a run on raw text is made with.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) task: TaskKind,
    pub(crate) base: &'a Base,
    pub(crate) max_length: usize,
    pub(crate) teacher: Option<&'a Teacher>,
    pub(crate) backend: &'a Choice,
    /// Where tokens and vectors are kept.
    pub(crate) cache: &'a Path,
}

/// Rows of raw text that are measured, and not learned from.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    /// How the files were read.
    pub(crate) notes: Vec<String>,
    /// SHA-256 of each file.
    pub(crate) hashes: Hashes,
}

/// Rows of raw text, to learn from and to be judged by.
pub(crate) struct Taught {
    pub(crate) train: Box<dyn RowSource>,
    pub(crate) valid: Vec<Row>,
    /// How the files were read.
    pub(crate) notes: Vec<String>,
    /// Documents that were cut.
    pub(crate) truncated: usize,
    /// SHA-256 of each file.
    pub(crate) hashes: Hashes,
}

impl Texts<'_> {
    /// Tokenizes the texts, or finds them tokenized, and makes rows of them.
    pub(crate) fn teach(&self, progress: &mut dyn Progress) -> Result<Taught, Error> {
        let data = &self.recipe.data;
        let (rows, lesson) = self.lessons(&data.train, progress)?;
        let mut taught = Taught {
            notes: [rows.store().describe(), Vec::from_iter(lesson.note())].concat(),
            truncated: rows.truncated(),
            hashes: rows.store().hashes(),
            train: Box::new(Vec::new()),
            valid: Vec::new(),
        };
        let lesson = Arc::new(lesson);
        let [train, valid] = if let Some(path) = &data.valid {
            let (valid, mut lesson_of_valid) =
                self.lessons(std::slice::from_ref(path), progress)?;
            lesson_of_valid.scale_as(&lesson);
            taught.notes.extend(valid.store().describe());
            taught.hashes.extend(valid.store().hashes());
            [
                Lessons::new(rows, &lesson),
                Lessons::judged(valid, &Arc::new(lesson_of_valid)),
            ]
        } else {
            let [train, valid] =
                rows.hold_out(data.valid_fraction, HELD_OUT, self.recipe.train.seed);
            [
                Lessons::new(train, &lesson),
                Lessons::judged(valid, &lesson),
            ]
        };
        taught.valid = first(&valid, valid.len()).map_err(Error::Lesson)?;
        taught.train = Box::new(train);
        Ok(taught)
    }

    /// Rows of texts that are only measured, the same in each evaluation: all, or no more than `most`.
    pub(crate) fn measure(
        &self,
        paths: &[PathBuf],
        most: Option<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Measured, Error> {
        let (rows, lesson) = self.lessons(paths, progress)?;
        let (notes, hashes) = (rows.store().describe(), rows.store().hashes());
        let rows = match most {
            Some(most) if rows.len() > most => {
                let [_, chosen] = rows.hold_out(1.0, most, self.recipe.train.seed);
                chosen
            }
            _ => rows,
        };
        let rows = Lessons::judged(rows, &Arc::new(lesson));
        Ok(Measured {
            rows: first(&rows, rows.len()).map_err(Error::Lesson)?,
            notes,
            hashes,
        })
    }

    /// The rows of some files, and what is to be learned of each.
    fn lessons(
        &self,
        paths: &[PathBuf],
        progress: &mut dyn Progress,
    ) -> Result<(TextRows, Lesson), Error> {
        let store = Arc::new(self.store(paths, self.base, progress)?);
        let (rows, lesson) = match self.task {
            TaskKind::Mask => {
                let rows = TextRows::masked_blocks(&store, self.max_length)?;
                let lesson = Lesson::Hidden {
                    masker: self.masker()?,
                    seed: self.recipe.train.seed,
                };
                (rows, lesson)
            }
            TaskKind::Distill => {
                let teacher = self.teacher.ok_or(TextsError::NoTeacher)?;
                let known = Arc::new(self.store(paths, teacher.base(), progress)?);
                let known = TextRows::sentences(&known, teacher.max_length())?;
                let rows = TextRows::sentences(&store, self.max_length)?;
                let lesson = self.taught(teacher, [&known, &rows], progress)?;
                (rows, lesson)
            }
            _ => {
                let rows = TextRows::causal_blocks(&store, self.max_length)?;
                (rows, Lesson::NextToken)
            }
        };
        Ok((rows, lesson))
    }

    /// What the teacher, which knows these rows, gives the student's.
    fn taught(
        &self,
        teacher: &Teacher,
        [known, rows]: [&TextRows; 2],
        progress: &mut dyn Progress,
    ) -> Result<Lesson, Error> {
        let on = (self.backend, self.cache);
        if !teacher.teaches_words() {
            return Ok(Lesson::Vector(teacher.vectors(known, None, on, progress)?));
        }
        let [its, own] = [teacher.base(), self.base].map(Words::of);
        let (its, own) = (its?, own?);
        let [counts, seen] = [its.counts(known)?, own.counts(rows)?];
        let taught = |index: usize| {
            let is_cut = known.length(index) == teacher.max_length()
                || rows.length(index) == self.max_length;
            if counts[index] == seen[index] || is_cut {
                counts[index].min(seen[index]) as u32
            } else {
                0
            }
        };
        let taught: Vec<u32> = (0..rows.len()).map(taught).collect();
        if taught.iter().all(|&count| count == 0) {
            return Err(TextsError::OtherWords.into());
        }
        let vectors = teacher.vectors(known, Some((&its, &counts)), on, progress)?;
        let hides = self.recipe.mask.probability.is_some();
        Ok(Lesson::Words {
            words: Box::new(TaughtWords::new(vectors, own, taught)?),
            masker: hides.then(|| self.masker()).transpose()?,
            seed: self.recipe.train.seed,
        })
    }

    /// Hides tokens as the recipe says.
    fn masker(&self) -> Result<Masker, Error> {
        let vocabulary = MaskVocabulary::of(&self.base.tokenizer)?;
        Ok(self.recipe.mask.masker(vocabulary))
    }

    /// The documents of files in a model's tokens.
    fn store(
        &self,
        paths: &[PathBuf],
        base: &Base,
        progress: &mut dyn Progress,
    ) -> Result<TokenStore, Error> {
        let corpus = Corpus {
            paths,
            documents: self.recipe.data.documents.unwrap_or_default(),
            tokenizer: &base.tokenizer,
            renderer: base.renderer.as_ref(),
        };
        Ok(corpus.open(self.cache, &mut Tokenizing(progress))?)
    }
}

/// The first rows of a source, as they are in the first epoch.
pub(crate) fn first(rows: &dyn RowSource, most: usize) -> Result<Vec<Row>, RowFailure> {
    let indices = 0..rows.len().min(most);
    indices
        .map(|index| Ok(rows.row(index, 0)?.into_owned()))
        .collect()
}

/// Tells how far the tokenizing is as a download's progress is told.
struct Tokenizing<'a>(&'a mut dyn Progress);

impl rekindle_corpus::Progress for Tokenizing<'_> {
    fn start(&mut self, bytes: u64) {
        self.0.start("texts to tokens", bytes);
    }

    fn advance(&mut self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}
