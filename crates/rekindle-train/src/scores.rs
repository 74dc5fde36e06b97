//! The numbers of an evaluation, by name.

use rekindle_data::{LabelSet, TaskKind};
use serde_json::{Map, Value, json};

use crate::metrics::{ClassReport, EntityReport, MultiLabelReport, RegressionReport};

/// Single numbers to follow over a run, and tables behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Number of each name, the task's first one first; an undefined one is absent.
    pub summary: Vec<(&'static str, f64)>,
    /// Per-class tables and the confusion matrix.
    pub details: Map<String, Value>,
}

/// Name that stands for the validation loss.
pub const LOSS: &str = "loss";

/// Names of a task's numbers; the first one decides which weights are best.
pub fn names(task: TaskKind) -> &'static [&'static str] {
    match task {
        TaskKind::Classify => &["accuracy", "macro_f1", "micro_f1", "mcc"],
        TaskKind::MultiLabel => &["micro_f1", "macro_f1", "subset_accuracy"],
        TaskKind::Regress => &["spearman", "pearson", "mse", "mae"],
        TaskKind::Tag => &["f1", "precision", "recall", "token_accuracy"],
        TaskKind::Generate => &["perplexity", "mean_token_accuracy", "exact_match"],
        TaskKind::Mask => &["perplexity", "mean_token_accuracy"],
        TaskKind::Distill => &["cosine", "word_cosine"],
    }
}

/// Whether a larger number is the better one.
pub fn is_higher_better(name: &str) -> bool {
    !matches!(name, LOSS | "mse" | "mae" | "perplexity")
}

impl Scores {
    /// The number of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.summary
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The numbers as a JSON object.
    pub fn to_json(&self) -> Map<String, Value> {
        self.summary
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect()
    }

    pub(crate) fn of_classes(report: &ClassReport, labels: &LabelSet) -> Self {
        let ClassReport {
            accuracy,
            macro_f1,
            micro_f1,
            mcc,
            classes,
            confusion,
        } = report;
        let names = labels.names();
        Self {
            summary: zip(
                TaskKind::Classify,
                [*accuracy, *macro_f1, *micro_f1, *mcc].map(Some),
            ),
            details: table([
                ("labels", json!(names)),
                ("classes", json!(classes)),
                ("confusion", json!(confusion)),
            ]),
        }
    }

    pub(crate) fn of_labels(report: &MultiLabelReport, names: &LabelSet) -> Self {
        let MultiLabelReport {
            micro_f1,
            macro_f1,
            subset_accuracy,
            labels,
        } = report;
        Self {
            summary: zip(
                TaskKind::MultiLabel,
                [*micro_f1, *macro_f1, *subset_accuracy].map(Some),
            ),
            details: table([("labels", json!(names.names())), ("classes", json!(labels))]),
        }
    }

    pub(crate) fn of_numbers(report: &RegressionReport) -> Self {
        let RegressionReport {
            mse,
            mae,
            pearson,
            spearman,
        } = report;
        let values = [*spearman, *pearson, Some(*mse), Some(*mae)];
        Self {
            summary: zip(TaskKind::Regress, values),
            details: Map::new(),
        }
    }

    pub(crate) fn of_tokens(loss: f64, accuracy: f64, exact_match: f64) -> Self {
        let values = [loss.exp(), accuracy, exact_match].map(Some);
        Self {
            summary: zip(TaskKind::Generate, values),
            details: Map::new(),
        }
    }

    pub(crate) fn of_vectors(cosines: [Option<f64>; 2]) -> Self {
        Self {
            summary: zip(TaskKind::Distill, cosines),
            details: Map::new(),
        }
    }

    pub(crate) fn of_hidden_tokens(loss: f64, accuracy: f64) -> Self {
        Self {
            summary: zip(TaskKind::Mask, [loss.exp(), accuracy].map(Some)),
            details: Map::new(),
        }
    }

    pub(crate) fn of_entities(report: &EntityReport) -> Self {
        let EntityReport {
            precision,
            recall,
            f1,
            token_accuracy,
            types,
        } = report;
        let values = [*f1, *precision, *recall, *token_accuracy].map(Some);
        Self {
            summary: zip(TaskKind::Tag, values),
            details: table([
                ("labels", json!(types.keys().collect::<Vec<_>>())),
                ("classes", json!(types.values().collect::<Vec<_>>())),
            ]),
        }
    }
}

fn zip<const N: usize>(task: TaskKind, values: [Option<f64>; N]) -> Vec<(&'static str, f64)> {
    let named = names(task).iter().zip(values);
    named
        .filter_map(|(name, value)| value.map(|value| (*name, value)))
        .collect()
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
