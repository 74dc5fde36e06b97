//! What can be wrong with a data file, and what to do about it.

use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;

use crate::TaskKind;

/// How many bad rows a [`DataError::BadRows`] shows.
const SHOWN: usize = 10;

/// One row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}{message}", field_prefix(field.as_deref()))]
pub struct RowError {
    /// Line in the file where the row, or the bad part of it, begins; from 1.
    pub line: usize,
    /// Field at fault, where there is one.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl RowError {
    /// An error of a whole row.
    pub fn new(line: usize, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            line,
            field: None,
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The same error, of one field.
    #[must_use]
    pub fn in_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }
}

fn field_prefix(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!("field `{field}`: "))
}

/// A data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file does not open, or reading it fails at its start.
    #[error("cannot read `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is text in UTF-16.
    #[error("`{}` is UTF-16, expected UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// Neither the extension nor the first bytes tell the format.
    #[error("the format of `{}` is not known", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no row at all.
    #[error("`{}` holds no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Some rows cannot be used; the first ten are kept.
    #[error("{}", bad_rows(path, first, *bad, *total))]
    BadRows {
        /// The file.
        path: PathBuf,
        /// The first bad rows.
        first: Vec<RowError>,
        /// How many rows are bad.
        bad: usize,
        /// How many rows the file has.
        total: usize,
    },
    /// No row holds anything to learn.
    #[error("no row of `{}` has a label; the first row holds: {}", path.display(), quoted(fields))]
    NoTarget {
        /// The file.
        path: PathBuf,
        /// Fields of the first row.
        fields: Vec<String>,
    },
    /// Rows ask for different tasks.
    #[error(
        "`{}` mixes tasks: line {} holds {}, line {} holds {}",
        path.display(), first.0, first.1, second.0, second.1
    )]
    MixedRows {
        /// The file.
        path: PathBuf,
        /// Line and content of the first kind.
        first: (usize, String),
        /// Line and content of the other kind.
        second: (usize, String),
    },
    /// The file is for another task than the one wanted.
    #[error("`{}` is data for the task `{found}`", path.display())]
    OtherTask {
        /// The file.
        path: PathBuf,
        /// The task that its rows are for.
        found: TaskKind,
    },
    /// Labels that the training data lacks.
    #[error("`{}` has labels that the model does not know: {}", path.display(), with_lines(unknown))]
    UnknownLabels {
        /// The file.
        path: PathBuf,
        /// Each unknown label with the first line that has it.
        unknown: Vec<(String, usize)>,
        /// The labels that are known.
        known: Vec<String>,
    },
}

impl DataError {
    /// All row errors of a file as one error; the first ten are kept.
    pub fn bad_rows(path: PathBuf, mut errors: Vec<RowError>, total: usize) -> Self {
        let bad = errors.len();
        errors.sort_by_key(|error| error.line);
        errors.truncate(SHOWN);
        Self::BadRows {
            path,
            first: errors,
            bad,
            total,
        }
    }

    /// What to do about it, where that is not part of the message.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Open { .. } => "check the path and its permissions".to_owned(),
            Self::Utf16 { .. } => {
                "convert it, for instance with `iconv -f UTF-16 -t UTF-8`".to_owned()
            }
            Self::UnknownFormat { .. } => "give the file one of the extensions \
                `.jsonl`, `.json`, `.csv`, `.tsv`, `.conll` or `.txt`"
                .to_owned(),
            Self::Empty { .. } => {
                "add rows such as `{\"text\": \"...\", \"label\": \"...\"}`".to_owned()
            }
            Self::BadRows { .. } => return None,
            Self::NoTarget { .. } => "give each row `text` with a `label` (string, integer or \
                list) or a number `score`, or `tokens` with `tags`; a language model learns from \
                `prompt` with `completion`, from `messages`, or from `text` alone"
                .to_owned(),
            Self::MixedRows { .. } => {
                "give every row the same kind of target, or name the task".to_owned()
            }
            Self::OtherTask { found, .. } => format!("set the task to `{found}`"),
            Self::UnknownLabels { known, .. } => format!(
                "correct their spelling or add such rows to the training data; known labels: {}",
                quoted(known)
            ),
        };
        Some(text)
    }
}

fn bad_rows(path: &std::path::Path, first: &[RowError], bad: usize, total: usize) -> String {
    let path = path.display();
    let mut text = format!("{bad} of {total} rows in `{path}` cannot be used");
    for row in first {
        let field = field_prefix(row.field.as_deref());
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n{path}:{}: {field}{} ({})",
            row.line, row.message, row.fix
        );
    }
    if bad > first.len() {
        let _ = write!(text, "\nand {} more", bad - first.len());
    }
    text
}

/// At most twenty names, in backticks.
fn quoted(names: &[impl fmt::Display]) -> String {
    shortened(names.iter().map(|name| format!("`{name}`")), 20)
}

fn with_lines(labels: &[(String, usize)]) -> String {
    let labels = labels.iter();
    shortened(
        labels.map(|(label, line)| format!("`{label}` (line {line})")),
        SHOWN,
    )
}

fn shortened(items: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let left_out = items.len().saturating_sub(most);
    let mut text = items.take(most).collect::<Vec<_>>().join(", ");
    if left_out > 0 {
        let _ = write!(text, " and {left_out} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_are_listed_by_line_and_cut_after_ten() {
        let errors = (1..=12)
            .rev()
            .map(|line| RowError::new(line, "is empty", "write something").in_field("text"))
            .collect();
        let error = DataError::bad_rows("train.jsonl".into(), errors, 2000);
        let text = error.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "12 of 2000 rows in `train.jsonl` cannot be used");
        assert_eq!(
            lines[1],
            "train.jsonl:1: field `text`: is empty (write something)"
        );
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[11], "and 2 more");
        assert_eq!(error.hint(), None);
    }

    #[test]
    fn a_row_error_names_line_and_field() {
        let error = RowError::new(17, "is missing", "add it").in_field("label");
        assert_eq!(error.to_string(), "line 17: field `label`: is missing");
    }

    #[test]
    fn long_lists_of_labels_are_shortened() {
        let names: Vec<_> = (0..25).collect();
        assert!(quoted(&names).ends_with("`19` and 5 more"));
    }
}
