//! Typed examples, and a file of them.

use std::path::PathBuf;

use crate::{DataError, Format, GenerationExample, Inference, LabelSet};

/// What a model reads: one text, or two that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextInput {
    /// One text.
    Single(String),
    /// Two texts, joined by the model's separator.
    Pair(String, String),
}

/// What a text is to be answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One class.
    Class(String),
    /// Any number of classes, none included.
    Classes(Vec<String>),
    /// A number.
    Number(f64),
}

/// A text and its target.
#[derive(Clone, Debug, PartialEq)]
pub struct TextExample {
    /// The text or texts.
    pub input: TextInput,
    /// The answer.
    pub target: Target,
    /// Line of the file, from 1.
    pub line: usize,
}

/// A sentence with a tag for each of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedExample {
    /// The words.
    pub tokens: Vec<String>,
    /// One tag per word.
    pub tags: Vec<String>,
    /// Line of the file, from 1.
    pub line: usize,
}

/// An example that names labels.
pub trait Labeled {
    /// The labels in it; none for a number or a text to be written.
    fn labels(&self) -> &[String];

    /// Line of the file, from 1.
    fn line(&self) -> usize;
}

impl Labeled for TextExample {
    fn labels(&self) -> &[String] {
        match &self.target {
            Target::Class(label) => std::slice::from_ref(label),
            Target::Classes(labels) => labels,
            Target::Number(_) => &[],
        }
    }

    fn line(&self) -> usize {
        self.line
    }
}

impl Labeled for TaggedExample {
    fn labels(&self) -> &[String] {
        &self.tags
    }

    fn line(&self) -> usize {
        self.line
    }
}

impl Labeled for GenerationExample {
    fn labels(&self) -> &[String] {
        &[]
    }

    fn line(&self) -> usize {
        self.line
    }
}

/// The examples of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset<E> {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// How the format was found.
    pub format_reason: String,
    /// Its task and how that was found.
    pub inference: Inference,
    /// The examples in the order of the file.
    pub rows: Vec<E>,
}

impl<E: Labeled> Dataset<E> {
    /// The distinct labels, sorted.
    pub fn labels(&self) -> LabelSet {
        LabelSet::collect(self.rows.iter().flat_map(E::labels).map(String::as_str))
    }

    /// Refuses labels that are not in `known`.
    pub fn check_labels(&self, known: &LabelSet) -> Result<(), DataError> {
        let mut unknown: Vec<(String, usize)> = Vec::new();
        for row in &self.rows {
            for label in row.labels() {
                let new = !unknown.iter().any(|(seen, _)| seen == label);
                if known.index(label).is_none() && new {
                    unknown.push((label.clone(), row.line()));
                }
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(DataError::UnknownLabels {
            path: self.path.clone(),
            unknown,
            known: known.names().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskKind;

    fn dataset(labels: &[&str]) -> Dataset<TextExample> {
        let example = |(k, label): (usize, &&str)| TextExample {
            input: TextInput::Single(format!("text {k}")),
            target: Target::Class((*label).to_owned()),
            line: k + 1,
        };
        Dataset {
            path: "valid.jsonl".into(),
            format: Format::Jsonl,
            format_reason: String::new(),
            inference: Inference {
                task: TaskKind::Classify,
                reason: String::new(),
            },
            rows: labels.iter().enumerate().map(example).collect(),
        }
    }

    #[test]
    fn a_label_in_valid_that_train_lacks_is_refused() {
        let train = dataset(&["b", "a"]).labels();
        let valid = dataset(&["a", "c", "c", "d"]);
        let error = valid.check_labels(&train).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`valid.jsonl` has labels that the model does not know: `c` (line 2), `d` (line 4)"
        );
        assert!(error.hint().unwrap().ends_with("known labels: `a`, `b`"));
    }

    #[test]
    fn valid_may_lack_labels_of_train() {
        let train = dataset(&["b", "a"]).labels();
        assert!(dataset(&["a"]).check_labels(&train).is_ok());
    }
}
