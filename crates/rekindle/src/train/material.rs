//! What a run learns from: rows of labeled examples or of raw text, ready for its task.

use std::collections::HashSet;

use rekindle_data::{LabelSet, Limit, TaskKind, Truncation, stratified_split};
use rekindle_hub::Progress;
use rekindle_train::batch::{Row, RowSource};
use rekindle_train::objective::Objective;
use rekindle_train::recipe::{DataRecipe, Recipe};

use super::Briefing;
use crate::base::Base;
use crate::error::Error;
use crate::hashes::{Hashes, hash};
use crate::rows::{Examples, Opening, Tokenized};
use crate::texts::{Texts, TextsError, are_texts};

/// Where rows come from.
pub(super) enum Source {
    /// Examples to learn from, and to be judged by if they have a file of their own.
    Examples(Examples, Option<Examples>),
    /// Files of raw text.
    Texts,
}

/// Rows and what is known of them.
pub(super) struct Material {
    pub(super) objective: Objective,
    pub(super) truncation: Truncation,
    pub(super) train: Box<dyn RowSource>,
    pub(super) valid: Vec<Row>,
    pub(super) briefing: Briefing,
    pub(super) opening: Opening,
    pub(super) data: Hashes,
}

impl Source {
    /// Reads the examples; raw text is read when its tokens are made.
    pub(super) fn of(recipe: &Recipe) -> Result<Self, Error> {
        if are_texts(&recipe.data.train, recipe.model.task)? {
            let idle = [
                (
                    "data.truncation",
                    !matches!(recipe.data.truncation, None | Some(Truncation::Right)),
                ),
                (
                    "data.prompt_loss_weight",
                    recipe.data.prompt_loss_weight > 0.0,
                ),
            ];
            return match idle.into_iter().find(|(_, is_set)| *is_set) {
                Some((key, _)) => Err(TextsError::IdleKey { key }.into()),
                None => Ok(Self::Texts),
            };
        }
        if recipe.data.documents.is_some() {
            return Err(TextsError::IdleDocuments.into());
        }
        let (examples, valid) = read(recipe)?;
        Ok(Self::Examples(examples, valid))
    }

    /// Makes rows; `texts` is what they are made with, raw text or not.
    pub(super) fn material(
        &self,
        texts: &Texts,
        progress: &mut dyn Progress,
    ) -> Result<Material, Error> {
        match self {
            Self::Examples(train, valid) => {
                let Texts {
                    recipe,
                    base,
                    max_length,
                    ..
                } = *texts;
                of_examples(recipe, base, max_length, (train, valid.as_ref()))
            }
            Self::Texts => of_texts(texts, progress),
        }
    }

    /// What is learned.
    pub(super) fn task(&self, recipe: &Recipe) -> TaskKind {
        match self {
            Self::Examples(examples, _) => examples.task(),
            Self::Texts => recipe.model.task.unwrap_or(TaskKind::Generate),
        }
    }
}

/// Rows of raw text.
fn of_texts(texts: &Texts, progress: &mut dyn Progress) -> Result<Material, Error> {
    let taught = texts.teach(progress)?;
    let objective = match texts.teacher {
        Some(teacher) => teacher.objective(),
        None => Objective::new(texts.task, LabelSet::from_names(Vec::new())),
    };
    let briefing = Briefing::of_texts(taught.notes, taught.truncated);
    Ok(Material {
        objective,
        truncation: Truncation::Right,
        train: taught.train,
        valid: taught.valid,
        briefing,
        opening: Opening::Text,
        data: taught.hashes,
    })
}

/// Rows of examples.
fn of_examples(
    recipe: &Recipe,
    base: &Base,
    max_length: usize,
    (train, valid): (&Examples, Option<&Examples>),
) -> Result<Material, Error> {
    let labels = labels(base, train)?;
    if let Some(valid) = valid {
        valid.check_labels(&labels)?;
    }
    let truncation = recipe.data.truncation.unwrap_or(train.default_truncation());
    let limit = Limit {
        max_length,
        truncation,
    };
    let (found, rows) = rows(recipe, base, (&labels, limit), (train, valid))?;
    let mut briefing = Briefing::of_examples(train, valid, &found);
    briefing.compare(&rows, &labels);
    let [train_rows, valid_rows] = rows;
    let DataRecipe {
        train: paths,
        valid,
        ..
    } = &recipe.data;
    let hashed = paths
        .iter()
        .chain(valid)
        .map(|path| Ok((path.display().to_string(), hash(path)?)));
    Ok(Material {
        objective: Objective::new(train.task(), labels),
        truncation,
        train: Box::new(train_rows),
        valid: valid_rows,
        briefing,
        opening: train.opening(),
        data: hashed.collect::<Result<_, Error>>()?,
    })
}

/// The training examples, and the validation examples if they have a file of their own.
fn read(recipe: &Recipe) -> Result<(Examples, Option<Examples>), Error> {
    let DataRecipe { train, valid, .. } = &recipe.data;
    let (examples, bundled) = if train.is_empty() {
        let [examples, valid] = Examples::bundled();
        (examples, Some(valid))
    } else {
        (Examples::read(train, recipe.model.task)?, None)
    };
    let valid = match valid {
        Some(path) => Some(Examples::read(
            std::slice::from_ref(path),
            Some(examples.task()),
        )?),
        None => bundled,
    };
    Ok((examples, valid))
}

/// The base's own labels if they are the data's, in its order; else the data's, sorted.
fn labels(base: &Base, examples: &Examples) -> Result<LabelSet, Error> {
    let labels = examples.labels();
    if let ([only], TaskKind::Classify) = (labels.names(), examples.task()) {
        return Err(Error::OneLabel(only.clone()));
    }
    Ok(base
        .labels()
        .filter(|known| known.same_set(&labels))
        .unwrap_or(labels))
}

/// Training and validation rows, and what became of the training file's.
fn rows(
    recipe: &Recipe,
    base: &Base,
    (labels, limit): (&LabelSet, Limit),
    (train, valid): (&Examples, Option<&Examples>),
) -> Result<(Tokenized, [Vec<Row>; 2]), Error> {
    let weight = recipe.data.prompt_loss_weight;
    let mut found = base.tokenize(train, labels, limit, weight)?;
    let all = std::mem::take(&mut found.rows);
    if all.is_empty() {
        return Err(Error::NoRows {
            skipped: found.skipped,
        });
    }
    // A row is judged by its answer alone, whatever its prompt counts in training.
    let judged = |examples| Ok::<_, Error>(base.tokenize(examples, labels, limit, 0.0)?.rows);
    let rows = match valid {
        Some(valid) => [all, judged(valid)?],
        None if weight > 0.0 => split(recipe, [all, judged(train)?], train),
        None => split(recipe, [all.clone(), all], train),
    };
    Ok((found, rows))
}

/// Training and validation rows, split by the recipe's fraction; both parts of the same rows.
fn split(recipe: &Recipe, [train, valid]: [Vec<Row>; 2], examples: &Examples) -> [Vec<Row>; 2] {
    let classes = examples.classes();
    let keys: Vec<&str> = train.iter().map(|row| classes[row.number - 1]).collect();
    let split = stratified_split(&keys, recipe.data.valid_fraction, recipe.train.seed);
    let chosen: HashSet<usize> = split.valid.into_iter().collect();
    let keep = |rows: Vec<Row>, is_valid: bool| {
        let rows = rows.into_iter().enumerate();
        let kept = rows.filter(|(index, _)| chosen.contains(index) == is_valid);
        kept.map(|(_, row)| row).collect()
    };
    [keep(train, false), keep(valid, true)]
}
