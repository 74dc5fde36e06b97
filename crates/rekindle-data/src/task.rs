//! Tasks, and the task that a file's rows tell.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{DataError, Format, Record, Source};

/// What a model learns from rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One of several classes.
    Classify,
    /// Any number of several classes.
    MultiLabel,
    /// A number.
    Regress,
    /// A tag for each word.
    Tag,
    /// A text, token by token.
    Generate,
    /// Words of a text that are hidden.
    Mask,
    /// The vectors that another model gives to texts.
    Distill,
}

impl TaskKind {
    /// All tasks.
    pub const ALL: [Self; 7] = [
        Self::Classify,
        Self::MultiLabel,
        Self::Regress,
        Self::Tag,
        Self::Generate,
        Self::Mask,
        Self::Distill,
    ];
}

impl fmt::Display for TaskKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Classify => "classify",
            Self::MultiLabel => "multi-label",
            Self::Regress => "regress",
            Self::Tag => "tag",
            Self::Generate => "generate",
            Self::Mask => "mask",
            Self::Distill => "distill",
        })
    }
}

/// A name that is not that of a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{0}` is not known")]
pub struct UnknownTask(String);

impl UnknownTask {
    /// The names that are known.
    pub fn hint(&self) -> Option<String> {
        let names = TaskKind::ALL.map(|task| format!("`{task}`"));
        Some(format!("use one of: {}", names.join(", ")))
    }
}

impl FromStr for TaskKind {
    type Err = UnknownTask;

    fn from_str(name: &str) -> Result<Self, UnknownTask> {
        let task = Self::ALL.into_iter().find(|task| task.to_string() == name);
        task.ok_or_else(|| UnknownTask(name.to_owned()))
    }
}

/// A task and what told so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inference {
    /// The task.
    pub task: TaskKind,
    /// What told so, for the user to read.
    pub reason: String,
}

/// What a row has to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Tags,
    String,
    Integer,
    Decimal,
    List,
    Score,
    Chat,
    Completion,
    Text,
}

impl Content {
    fn of(record: &Record) -> Option<Self> {
        let has = |field: &str| record.field(field).is_some();
        if has("tokens") && has("tags") {
            return Some(Self::Tags);
        }
        let labeled = Self::of_label(record);
        if labeled.is_some() && has("text") {
            return labeled;
        }
        if has("messages") || has("conversations") {
            return Some(Self::Chat);
        }
        if (has("prompt") && has("completion")) || (has("instruction") && has("output")) {
            return Some(Self::Completion);
        }
        labeled.or_else(|| has("text").then_some(Self::Text))
    }

    fn of_label(record: &Record) -> Option<Self> {
        let score = || record.number("score").map(|_| Self::Score);
        match record.field("label") {
            None => score(),
            // This is how CSV writes a missing value.
            Some(Value::String(text)) if text.trim().is_empty() => score(),
            Some(Value::Array(_)) => Some(Self::List),
            Some(Value::Number(number)) if number.is_f64() => Some(Self::Decimal),
            Some(Value::Number(_)) => Some(Self::Integer),
            Some(_) => Some(Self::String),
        }
    }

    fn task(self) -> TaskKind {
        match self {
            Self::Tags => TaskKind::Tag,
            Self::String | Self::Integer => TaskKind::Classify,
            Self::List => TaskKind::MultiLabel,
            Self::Decimal | Self::Score => TaskKind::Regress,
            Self::Chat | Self::Completion | Self::Text => TaskKind::Generate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tags => "`tokens` and `tags`",
            Self::String => "a string in `label`",
            Self::Integer => "an integer in `label`",
            Self::Decimal => "a decimal number in `label`",
            Self::List => "a list in `label`",
            Self::Score => "a number in `score`",
            Self::Chat => "messages",
            Self::Completion => "prompts and completions",
            Self::Text => "a `text` alone",
        }
    }
}

/// Whether a row is a text with nothing that it is to be answered with.
pub fn is_text_alone(record: &Record) -> bool {
    Content::of(record) == Some(Content::Text)
}

/// The task that the rows of a file tell.
///
/// `tokens` with `tags` is tagging. A `label` that is a list means several classes, a decimal number
/// regression, anything else one class; without `label`, a number `score` is regression. In CSV and
/// TSV, labels are decimal numbers if all are numbers and one has a decimal point. Messages, prompts with
/// completions, and texts of which none has a target are for generation.
pub fn infer_task(source: &Source) -> Result<Inference, DataError> {
    if source.records.is_empty() {
        let errors = source.errors.clone();
        let total = errors.len();
        return Err(DataError::bad_rows(source.path.clone(), errors, total));
    }
    let mut contents = contents(source);
    // A text that lacks its target is a mistake in a row, not another kind of row.
    if contents
        .iter()
        .any(|(content, _)| *content != Content::Text)
    {
        contents.retain(|(content, _)| *content != Content::Text);
    }
    let uses_score = contents
        .iter()
        .all(|(content, _)| *content == Content::Score);
    if !uses_score {
        contents.retain(|(content, _)| *content != Content::Score);
    }
    let is_number =
        |(content, _): &(Content, usize)| matches!(content, Content::Integer | Content::Decimal);
    let content = match contents.as_slice() {
        [] => return Err(no_target(source)),
        [(content, _)] => *content,
        numbers if numbers.iter().all(is_number) => Content::Decimal,
        [first, second, ..] => {
            return Err(DataError::MixedRows {
                path: source.path.clone(),
                first: (first.1, first.0.name().to_owned()),
                second: (second.1, second.0.name().to_owned()),
            });
        }
    };
    let has_score = source
        .records
        .iter()
        .any(|row| row.number("score").is_some());
    let unused = if has_score && !uses_score {
        "; `score` is not used"
    } else {
        ""
    };
    Ok(Inference {
        task: content.task(),
        reason: format!("rows have {}{unused}", content.name()),
    })
}

/// Each kind of content with the first line that has it.
fn contents(source: &Source) -> Vec<(Content, usize)> {
    let mut found: Vec<(Content, usize)> = Vec::new();
    for record in &source.records {
        let content = Content::of(record);
        if let Some(content) = content
            && found.iter().all(|(seen, _)| *seen != content)
        {
            found.push((content, record.line));
        }
    }
    let is_delimited = matches!(source.format.format, Format::Csv | Format::Tsv);
    if is_delimited && has_decimal_labels(&source.records) {
        for (content, _) in &mut found {
            if *content == Content::String {
                *content = Content::Decimal;
            }
        }
    }
    found
}

fn has_decimal_labels(records: &[Record]) -> bool {
    let labels = || {
        let texts = records
            .iter()
            .filter_map(|record| record.field("label")?.as_str());
        texts.filter(|text| !text.trim().is_empty())
    };
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    labels().any(|text| text.contains('.')) && labels().all(is_number)
}

/// Refuses rows that hold nothing to learn for a task.
pub(crate) fn require_target(source: &Source, task: TaskKind) -> Result<(), DataError> {
    let is_blank = |record| match Content::of(record) {
        None => true,
        Some(content) => {
            let needs_label = !matches!(task, TaskKind::Generate | TaskKind::Mask);
            content.task() == TaskKind::Generate && needs_label
        }
    };
    if !source.records.is_empty() && source.records.iter().all(is_blank) {
        return Err(no_target(source));
    }
    Ok(())
}

fn no_target(source: &Source) -> DataError {
    DataError::NoTarget {
        path: source.path.clone(),
        fields: source.records[0].fields.keys().cloned().collect(),
    }
}
