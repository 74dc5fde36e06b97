//! What a user is told before step 1.

use std::collections::BTreeMap;

use rekindle_data::{LabelSet, TaskKind, TextTokenizer, duplicates, overlap};
use rekindle_train::batch::{Row, RowSource};
use rekindle_train::objective::{Objective, Target};
use rekindle_train::run::Plan;

use crate::base::Base;
use crate::error::Error;
use crate::rows::{Examples, Tokenized};
use crate::texts::first;

/// Rows that are shown.
const SHOWN_ROWS: usize = 3;

/// The plan of a run in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Briefing {
    /// How files were read, and what was passed over in them.
    pub notes: Vec<String>,
    /// What may be wrong with the data.
    pub warnings: Vec<String>,
    /// Rows, labels, steps.
    pub plan: Vec<String>,
    /// Some training rows as the model sees them.
    pub samples: Vec<Sample>,
    /// What a model that learned nothing would reach.
    pub baseline: Option<String>,
}

/// A training row as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its tokens, read back.
    pub text: String,
    /// What it is trained towards.
    pub target: String,
}

impl Briefing {
    /// What making rows of raw text found.
    pub(super) fn of_texts(notes: Vec<String>, truncated: usize) -> Self {
        let cut = format!("{truncated} documents are longer than the maximum length and were cut");
        Self {
            notes,
            warnings: (truncated > 0).then_some(cut).into_iter().collect(),
            ..Self::default()
        }
    }

    /// What reading and tokenizing examples found.
    pub(super) fn of_examples(
        train: &Examples,
        valid: Option<&Examples>,
        tokenized: &Tokenized,
    ) -> Self {
        let mut briefing = Self::default();
        briefing.notes.extend(train.describe());
        briefing
            .notes
            .extend(valid.iter().flat_map(|valid| valid.describe()));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for class in train.classes() {
            *counts.entry(class).or_default() += 1;
        }
        let single: Vec<_> = counts
            .iter()
            .filter(|(_, count)| **count == 1)
            .map(|(c, _)| *c)
            .collect();
        if !single.is_empty() && train.task() == TaskKind::Classify {
            let names = single.join(", ");
            briefing
                .warnings
                .push(format!("labels with one training row each: {names}"));
        }
        let texts = train.texts();
        let mut warn = |count: usize, what: &str| {
            if count > 0 {
                briefing
                    .warnings
                    .push(format!("{count} of {} training rows {what}", texts.len()));
            }
        };
        warn(
            tokenized.truncated,
            "are longer than the maximum length and were cut",
        );
        warn(
            tokenized.skipped,
            "were skipped: too long, or without a word to learn from",
        );
        warn(duplicates(texts.iter()), "repeat the text of another one");
        if let Some(token) = &tokenized.spelled {
            let what = format!("spell special tokens, such as `{token}`: they stay text");
            warn(tokenized.spelling, &what);
        }
        let valid_texts = valid.map(Examples::texts).unwrap_or_default();
        let shared = overlap(texts.iter(), valid_texts.iter());
        if shared > 0 {
            briefing.warnings.push(format!(
                "{shared} of {} validation rows have a text that is also in the training rows",
                valid_texts.len(),
            ));
        }
        briefing
    }

    /// What the split and the plan add.
    pub(super) fn complete(
        &mut self,
        base: &Base,
        objective: &Objective,
        (train, valid): (&dyn RowSource, usize),
        plan: &Plan,
    ) -> Result<(), Error> {
        let notes = base.tokenizer.notes().iter().chain(&base.notes);
        self.notes.extend(notes.cloned());
        if base.adapted.is_some() {
            let note = "the model is an adapter: it goes on with its rank and its layers";
            self.notes.push(note.to_owned());
        }
        let labels = objective.labels().names();
        if !labels.is_empty() {
            self.plan
                .push(format!("{} labels: {}", labels.len(), name_some(labels)));
        }
        let tokens: usize = (0..train.len()).map(|index| train.length(index)).sum();
        self.plan.push(format!(
            "{} training rows ({:.1} tokens a row), {} validation rows",
            train.len(),
            tokens as f64 / train.len() as f64,
            valid,
        ));
        self.plan.push(format!(
            "{} steps, {} an epoch, the first {} with a rising learning rate",
            plan.total_steps,
            plan.steps_per_epoch,
            plan.schedule.warmup_steps(),
        ));
        let shown = first(train, SHOWN_ROWS).map_err(Error::Lesson)?;
        let shown = shown.iter();
        self.samples = shown
            .map(|row| sample(row, &base.tokenizer, objective.labels()))
            .collect();
        Ok(())
    }

    /// What a model that learned nothing would reach.
    pub(super) fn compare(&mut self, [train, valid]: &[Vec<Row>; 2], labels: &LabelSet) {
        self.baseline = baseline(train, valid, labels);
    }
}

/// A list of names, not all of a long one.
pub(super) fn name_some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn sample(row: &Row, tokenizer: &TextTokenizer, labels: &LabelSet) -> Sample {
    let text = tokenizer.decode(&row.ids);
    let target = match &row.target {
        Target::Class(class) => labels.name(*class).to_owned(),
        Target::Number(number) => number.to_string(),
        Target::Labels(set) => {
            let names = set
                .iter()
                .zip(labels.names())
                .filter(|(is_set, _)| **is_set);
            format!(
                "[{}]",
                names
                    .map(|(_, name)| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Target::Tags(tags) => {
            let marked = tags.iter().filter_map(|tag| {
                let token = tokenizer.decode(&[row.ids[tag.token?]]);
                Some(format!("{token}={}", labels.name(tag.class)))
            });
            marked.collect::<Vec<_>>().join(" ")
        }
        Target::Vector(vector) => format!("a vector of {} numbers", vector.len()),
        Target::Words(words) => format!(
            "vectors of {} numbers for the text and its {} tokens",
            words.row.len(),
            words.tokens.len()
        ),
        Target::Tokens(weights) => {
            let targets = row.ids.iter().zip(weights);
            let targets = targets.filter(|(_, weight)| **weight == 1.0);
            tokenizer.decode(&targets.map(|(id, _)| *id).collect::<Vec<_>>())
        }
        Target::Masked(hidden) => {
            let tokens = hidden.iter().map(|token| tokenizer.decode(&[token.id]));
            tokens.collect::<Vec<_>>().join(" ")
        }
    };
    Sample { text, target }
}

/// Accuracy of always answering the most frequent class, or the error of always answering the mean.
fn baseline(train: &[Row], valid: &[Row], labels: &LabelSet) -> Option<String> {
    if valid.is_empty() {
        return None;
    }
    let numbers = |rows: &[Row]| -> Vec<f64> {
        let number = |row: &Row| match row.target {
            Target::Number(number) => Some(number),
            _ => None,
        };
        rows.iter().filter_map(number).collect()
    };
    let (known, asked) = (numbers(train), numbers(valid));
    if !known.is_empty() {
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let square = asked.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / asked.len() as f64;
        return Some(format!("always {mean:.3}: mse {square:.4}"));
    }
    let classes = |rows: &[Row]| -> Vec<usize> {
        let mut classes = Vec::new();
        for row in rows {
            match &row.target {
                Target::Class(class) => classes.push(*class),
                Target::Tags(tags) => classes.extend(tags.iter().map(|tag| tag.class)),
                _ => {}
            }
        }
        classes
    };
    let mut counts = vec![0_usize; labels.len()];
    for class in classes(train) {
        counts[class] += 1;
    }
    let (majority, _) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    let asked = classes(valid);
    let right = asked.iter().filter(|&&class| class == majority).count();
    let share = right as f64 / asked.len() as f64;
    (!asked.is_empty()).then(|| format!("always `{}`: accuracy {share:.4}", labels.name(majority)))
}
