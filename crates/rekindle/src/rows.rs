//! From data files to tokenized rows with targets.

mod generation;

use std::path::{Path, PathBuf};

use rekindle_data::{
    DataError, Dataset, Encoded, EncodedWords, GenerationExample, LabelSet, Labeled, Limit,
    TaggedExample, Target, TaskKind, TextExample, TextInput, TextTokenizer, TokenizerError,
};
use rekindle_train::batch::Row;
use rekindle_train::objective::{TagTarget, Target as RowTarget};

use crate::error::Error;

/// The examples of one or more files, all for one task.
#[derive(Clone, Debug)]
pub enum Examples {
    /// Texts with a class, several labels or a number.
    Texts(Vec<Dataset<TextExample>>),
    /// Words with tags.
    Words(Vec<Dataset<TaggedExample>>),
    /// Prompts with completions, chats and texts to be written.
    Generation(Vec<Dataset<GenerationExample>>),
}

/// Rows ready for a model, and what became of the others.
#[derive(Clone, Debug, Default)]
pub struct Tokenized {
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that were cut.
    pub truncated: usize,
    /// Rows that were dropped for their length, or had no word or token left to learn from.
    pub skipped: usize,
    /// Rows whose texts spell special tokens, which stay text.
    pub spelling: usize,
    /// One of those tokens.
    pub spelled: Option<String>,
}

/// How what a model answers is put to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A text, as it is.
    Text,
    /// An instruction, in the words of Alpaca's prompt.
    Instruction,
    /// A message of a chat.
    Chat,
}

impl Examples {
    /// Reads files; without a task, the rows of the first one tell it.
    pub fn read(paths: &[PathBuf], task: Option<TaskKind>) -> Result<Self, Error> {
        let first = match (task, paths) {
            (Some(task), _) => task,
            (None, []) => TaskKind::Classify,
            (None, [first, ..]) => rekindle_data::Source::read(first)?.task(None)?.task,
        };
        if first == TaskKind::Tag {
            let read = |path: &PathBuf| Ok(rekindle_tokens::read(path)?);
            return Ok(Self::Words(
                paths.iter().map(read).collect::<Result<_, Error>>()?,
            ));
        }
        if first == TaskKind::Mask {
            return Err(Error::RawText { task: first });
        }
        if first == TaskKind::Generate {
            let read = |path: &PathBuf| Ok(rekindle_instruct::read(path, task)?);
            return Ok(Self::Generation(
                paths.iter().map(read).collect::<Result<_, Error>>()?,
            ));
        }
        let read = |path: &PathBuf| {
            let dataset = rekindle_classification::read(path, task)?;
            let found = dataset.inference.task;
            let other = Error::OtherTask {
                path: path.clone(),
                found,
                expected: first,
            };
            if found == first {
                Ok(dataset)
            } else {
                Err(other)
            }
        };
        Ok(Self::Texts(
            paths.iter().map(read).collect::<Result<_, _>>()?,
        ))
    }

    /// The bundled reviews.
    pub fn bundled() -> [Self; 2] {
        let [train, valid] = [
            rekindle_classification::bundled::train(),
            rekindle_classification::bundled::valid(),
        ];
        [Self::Texts(vec![train]), Self::Texts(vec![valid])]
    }

    /// The task that the examples are for.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Words(_) => TaskKind::Tag,
            Self::Generation(_) => TaskKind::Generate,
            Self::Texts(files) => files
                .first()
                .map_or(TaskKind::Classify, |f| f.inference.task),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(files) => files.iter().map(|file| file.rows.len()).sum(),
            Self::Words(files) => files.iter().map(|file| file.rows.len()).sum(),
            Self::Generation(files) => files.iter().map(|file| file.rows.len()).sum(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How each file was read, as a line of text.
    pub fn describe(&self) -> Vec<String> {
        fn line<E>(file: &Dataset<E>) -> String {
            format!(
                "{}: {} rows, {} ({}), task {} ({})",
                file.path.display(),
                file.rows.len(),
                file.format,
                file.format_reason,
                file.inference.task,
                file.inference.reason,
            )
        }
        match self {
            Self::Texts(files) => files.iter().map(line).collect(),
            Self::Words(files) => files.iter().map(line).collect(),
            Self::Generation(files) => files.iter().map(line).collect(),
        }
    }

    /// All distinct labels, sorted.
    pub fn labels(&self) -> LabelSet {
        match self {
            Self::Texts(files) => LabelSet::collect(labels_of(files)),
            Self::Words(files) => LabelSet::collect(labels_of(files)),
            Self::Generation(files) => LabelSet::collect(labels_of(files)),
        }
    }

    /// Refuses labels that are not in `known`.
    pub fn check_labels(&self, known: &LabelSet) -> Result<(), DataError> {
        match self {
            Self::Texts(files) => files.iter().try_for_each(|file| file.check_labels(known)),
            Self::Words(files) => files.iter().try_for_each(|file| file.check_labels(known)),
            Self::Generation(files) => files.iter().try_for_each(|file| file.check_labels(known)),
        }
    }

    /// A key for each example by which a split is stratified: its class where it has one.
    pub fn classes(&self) -> Vec<&str> {
        match self {
            Self::Texts(files) => rows(files)
                .map(|(_, row)| match &row.target {
                    Target::Class(class) => class.as_str(),
                    Target::Classes(_) | Target::Number(_) => "",
                })
                .collect(),
            Self::Words(files) => rows(files).map(|_| "").collect(),
            Self::Generation(files) => rows(files).map(|_| "").collect(),
        }
    }

    /// The text of each example, by which equal ones are found.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Texts(files) => rows(files)
                .map(|(_, row)| match &row.input {
                    TextInput::Single(text) => text.clone(),
                    TextInput::Pair(first, second) => format!("{first}\n{second}"),
                })
                .collect(),
            Self::Words(files) => rows(files).map(|(_, row)| row.tokens.join(" ")).collect(),
            Self::Generation(files) => rows(files).map(|(_, row)| row.text()).collect(),
        }
    }

    /// Tokenizes texts and words for an encoder.
    ///
    /// # Panics
    /// If the examples are for generation: those go through [`Self::tokenize_generation`].
    pub fn tokenize(
        &self,
        tokenizer: &TextTokenizer,
        labels: &LabelSet,
        limit: Limit,
    ) -> Result<Tokenized, Error> {
        match self {
            Self::Texts(files) => {
                let rows: Vec<_> = rows(files).collect();
                let inputs: Vec<_> = rows.iter().map(|(_, row)| &row.input).collect();
                let encoded = tokenizer.encode_batch(&inputs, limit);
                let target = |index: usize, _: &Encoded| target_of(&rows[index].1.target, labels);
                collect(encoded, |index| place(rows[index]), target)
            }
            Self::Words(files) => {
                let rows: Vec<_> = rows(files).collect();
                let words: Vec<_> = rows.iter().map(|(_, row)| row.tokens.as_slice()).collect();
                let encoded = tokenizer.encode_words_batch(&words, limit);
                let target = |index: usize, encoded: &EncodedWords| {
                    tags_of(&rows[index].1.tags, encoded, labels)
                };
                collect(encoded, |index| place(rows[index]), target)
            }
            Self::Generation(_) => panic!("prompts and chats are rendered, not only tokenized"),
        }
    }
}

fn labels_of<E: Labeled>(files: &[Dataset<E>]) -> impl Iterator<Item = &str> {
    rows(files)
        .flat_map(|(_, row)| row.labels())
        .map(String::as_str)
}

fn rows<E>(files: &[Dataset<E>]) -> impl Iterator<Item = (&Path, &E)> {
    files
        .iter()
        .flat_map(|file| file.rows.iter().map(move |row| (file.path.as_path(), row)))
}

fn place<E: Labeled>((path, row): (&Path, &E)) -> (PathBuf, usize) {
    (path.to_owned(), row.line())
}

/// What both kinds of encoding have.
trait Tokens {
    fn into_tokens(self) -> (Vec<u32>, Vec<u32>);
    fn is_truncated(&self) -> bool;
}

impl Tokens for Encoded {
    fn into_tokens(self) -> (Vec<u32>, Vec<u32>) {
        (self.ids, self.type_ids)
    }

    fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl Tokens for EncodedWords {
    fn into_tokens(self) -> (Vec<u32>, Vec<u32>) {
        (self.ids, self.type_ids)
    }

    fn is_truncated(&self) -> bool {
        self.truncated
    }
}

fn collect<E: Tokens>(
    encoded: Vec<Result<Option<E>, TokenizerError>>,
    place: impl Fn(usize) -> (PathBuf, usize),
    target: impl Fn(usize, &E) -> RowTarget,
) -> Result<Tokenized, Error> {
    let mut tokenized = Tokenized::default();
    for (index, result) in encoded.into_iter().enumerate() {
        let encoded = result.map_err(|source| {
            let (path, line) = place(index);
            Error::Row { path, line, source }
        })?;
        let Some(encoded) = encoded else {
            tokenized.skipped += 1;
            continue;
        };
        let target = target(index, &encoded);
        if target.num_outputs() == 0 {
            tokenized.skipped += 1;
            continue;
        }
        tokenized.truncated += usize::from(encoded.is_truncated());
        let (ids, type_ids) = encoded.into_tokens();
        tokenized.rows.push(Row {
            ids,
            type_ids,
            target,
            number: index + 1,
        });
    }
    Ok(tokenized)
}

fn target_of(target: &Target, labels: &LabelSet) -> RowTarget {
    let known = "labels were checked against the set before";
    match target {
        Target::Class(class) => RowTarget::Class(labels.index(class).expect(known)),
        Target::Classes(classes) => RowTarget::Labels(
            labels
                .names()
                .iter()
                .map(|name| classes.contains(name))
                .collect(),
        ),
        Target::Number(number) => RowTarget::Number(*number),
    }
}

/// The class of each word, at its first token.
fn tags_of(tags: &[String], encoded: &EncodedWords, labels: &LabelSet) -> RowTarget {
    let first_token = |word: usize| encoded.words.iter().position(|&w| w == Some(word));
    let tags = tags.iter().enumerate().map(|(word, tag)| TagTarget {
        class: labels
            .index(tag)
            .expect("tags were checked against the set before"),
        token: first_token(word),
    });
    RowTarget::Tags(tags.collect())
}
