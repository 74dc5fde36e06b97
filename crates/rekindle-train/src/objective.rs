//! What a task's logits are trained towards, and how they are scored.

use burn::tensor::{Tensor, TensorData, activation, backend::Backend};
use rekindle_data::{HiddenToken, LabelSet, TaskKind};
use rekindle_nn::TrainBackend;

use crate::distillation::{self, WordVectors};
use crate::metrics::{classification, entities, multi_label, regression};
use crate::projection::TOKEN_OUTPUT;
use crate::scores::Scores;

/// What a row is trained towards.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A class of the row.
    Class(usize),
    /// For each label, whether the row has it.
    Labels(Vec<bool>),
    /// A number.
    Number(f64),
    /// A class for each word.
    Tags(Vec<TagTarget>),
    /// The row's own tokens: how much each counts as what comes after those before it. The first is 0,
    /// since nothing comes before it.
    Tokens(Vec<f32>),
    /// Tokens of the row that are hidden in it.
    Masked(Vec<HiddenToken>),
    /// A vector of length 1: what a teacher gives the row.
    Vector(Vec<f32>),
    /// What a teacher gives the row and each of its words.
    Words(WordVectors),
}

/// What a word is trained towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagTarget {
    /// The word's class.
    pub class: usize,
    /// Position in the row of the word's first token; `None` if truncation or the tokenizer lost it.
    pub token: Option<usize>,
}

impl Target {
    /// Rows of logits that belong to this target.
    pub fn num_outputs(&self) -> usize {
        match self {
            Self::Class(_) | Self::Labels(_) | Self::Number(_) | Self::Vector(_) => 1,
            Self::Tags(tags) => tags.iter().filter(|tag| tag.token.is_some()).count(),
            Self::Tokens(weights) => weights.iter().filter(|&&weight| weight > 0.0).count(),
            Self::Masked(hidden) => hidden.len(),
            Self::Words(words) => words.num_outputs(),
        }
    }

    /// Classes of its outputs; empty where the target is not a class.
    fn classes(&self) -> Vec<usize> {
        match self {
            Self::Class(class) => vec![*class],
            Self::Tags(tags) => tags
                .iter()
                .filter(|tag| tag.token.is_some())
                .map(|tag| tag.class)
                .collect(),
            Self::Labels(_)
            | Self::Number(_)
            | Self::Tokens(_)
            | Self::Masked(_)
            | Self::Vector(_)
            | Self::Words(_) => Vec::new(),
        }
    }
}

/// The loss and the metrics of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    task: TaskKind,
    labels: LabelSet,
    /// Numbers of an output where labels do not tell.
    width: usize,
    /// Whether a teacher's vectors are those of words.
    learns_words: bool,
}

impl Objective {
    /// The objective of a task whose outputs carry these labels; a regression has none.
    pub fn new(task: TaskKind, labels: LabelSet) -> Self {
        let width = match task {
            TaskKind::Generate | TaskKind::Mask => TOKEN_OUTPUT,
            TaskKind::Regress | TaskKind::Distill => 1,
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Tag => labels.len(),
        };
        Self {
            task,
            labels,
            width,
            learns_words: false,
        }
    }

    /// The objective of a student whose teacher gives vectors of this width.
    pub fn distillation(width: usize) -> Self {
        Self {
            width,
            ..Self::new(TaskKind::Distill, LabelSet::from_names(Vec::new()))
        }
    }

    /// The objective of a student whose teacher gives each word a vector of this width.
    pub fn word_distillation(width: usize) -> Self {
        Self {
            learns_words: true,
            ..Self::distillation(width)
        }
    }

    /// Whether the outputs of a distillation are those of tokens.
    pub fn learns_words(&self) -> bool {
        self.learns_words
    }

    /// The task.
    pub fn task(&self) -> TaskKind {
        self.task
    }

    /// Names of the outputs.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// Numbers of an output: its logits, [`TOKEN_OUTPUT`] of a token, or a vector's.
    pub fn num_outputs(&self) -> usize {
        self.width
    }

    /// How much a target counts in a mean of losses: transformers' means are over examples, over
    /// examples times labels, over the words that have a tag, or over tokens.
    pub fn weight(&self, target: &Target) -> f64 {
        match target {
            Target::Labels(labels) => labels.len() as f64,
            Target::Tokens(weights) => weights.iter().copied().map(f64::from).sum(),
            Target::Words(words) => words.weight(),
            other => other.num_outputs() as f64,
        }
    }

    /// Sum of the losses of a batch, in nats (squared units for a regression).
    ///
    /// # Shapes
    /// - logits: `[outputs, labels]`, the outputs of all targets in order
    /// - output: `[1]`
    pub fn loss_sum<B: TrainBackend>(
        &self,
        logits: Tensor<B, 2>,
        targets: &[&Target],
    ) -> Tensor<B, 1> {
        let device = logits.device();
        match self.task {
            TaskKind::Classify | TaskKind::Tag => {
                let classes: Vec<i32> = targets
                    .iter()
                    .flat_map(|target| target.classes())
                    .map(|class| class as i32)
                    .collect();
                let classes = Tensor::from_data(classes.as_slice(), &device);
                B::cross_entropy(logits, classes).narrow(1, 0, 1).sum()
            }
            TaskKind::MultiLabel | TaskKind::Regress => {
                let values: Vec<f32> = targets.iter().flat_map(|target| values(target)).collect();
                let values = Tensor::from_data(TensorData::new(values, logits.dims()), &device);
                if self.task == TaskKind::Regress {
                    let error = logits - values;
                    (error.clone() * error).sum()
                } else {
                    binary_cross_entropy(logits, values)
                }
            }
            TaskKind::Distill if self.learns_words => distillation::word_loss_sum(logits, targets),
            TaskKind::Distill => distillation::loss_sum(logits, targets),
            TaskKind::Generate | TaskKind::Mask => {
                unreachable!("the loss of tokens is taken a few at a time, without all logits")
            }
        }
    }

    /// The loss of one target, summed over its outputs; in f64, so that it does not depend on the batch.
    pub fn row_loss(&self, logits: &[f32], target: &Target) -> f64 {
        match target {
            Target::Number(number) => (f64::from(logits[0]) - number).powi(2),
            Target::Labels(labels) => {
                let losses = logits.iter().zip(labels).map(|(&logit, &is_set)| {
                    let x = f64::from(logit);
                    x.max(0.0) - if is_set { x } else { 0.0 } + (-x.abs()).exp().ln_1p()
                });
                losses.sum()
            }
            Target::Vector(vector) => 1.0 - distillation::cosine(logits, vector),
            Target::Words(words) => words.loss(logits),
            Target::Tokens(_) | Target::Masked(_) => token_outputs(logits, target)
                .map(|(weight, [loss, _])| weight * f64::from(*loss))
                .sum(),
            Target::Class(_) | Target::Tags(_) => {
                let rows = logits.chunks(self.num_outputs()).zip(target.classes());
                rows.map(|(logits, class)| {
                    let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = logits.iter().map(|&x| f64::from(x - peak).exp()).sum();
                    f64::from(peak - logits[class]) + sum.ln()
                })
                .sum()
            }
        }
    }

    /// Weight of the correct outputs of a target whose outputs are classes or tokens; `None` elsewhere.
    pub fn correct(&self, logits: &[f32], target: &Target) -> Option<f64> {
        let classes = match target {
            Target::Tokens(_) | Target::Masked(_) => {
                let right =
                    |(weight, [_, is_right]): (f64, &[f32; 2])| weight * f64::from(*is_right);
                return Some(token_outputs(logits, target).map(right).sum());
            }
            Target::Class(_) | Target::Tags(_) => target.classes(),
            Target::Labels(_) | Target::Number(_) | Target::Vector(_) | Target::Words(_) => {
                return None;
            }
        };
        let rows = logits.chunks(self.num_outputs()).zip(classes);
        let right = rows.filter(|(logits, class)| argmax(logits) == *class);
        Some(right.count() as f64)
    }

    /// The metrics of predictions; `logits` holds all outputs of each row.
    pub fn scores(&self, logits: &[Vec<f32>], targets: &[&Target]) -> Scores {
        match self.task {
            TaskKind::Classify => {
                let expected: Vec<usize> =
                    targets.iter().flat_map(|target| target.classes()).collect();
                let predicted: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
                let report = classification(&expected, &predicted, self.labels.len());
                Scores::of_classes(&report, &self.labels)
            }
            TaskKind::MultiLabel => {
                let expected: Vec<Vec<bool>> = targets
                    .iter()
                    .map(|target| values(target).iter().map(|&value| value > 0.5).collect())
                    .collect();
                let predicted: Vec<Vec<bool>> = logits.iter().map(|row| is_set(row)).collect();
                Scores::of_labels(&multi_label(&expected, &predicted), &self.labels)
            }
            TaskKind::Regress => {
                let expected: Vec<f64> = targets.iter().map(|target| number(target)).collect();
                let predicted: Vec<f64> = logits.iter().map(|row| f64::from(row[0])).collect();
                Scores::of_numbers(&regression(&expected, &predicted))
            }
            TaskKind::Tag => {
                let expected: Vec<Vec<&str>> = targets
                    .iter()
                    .map(|target| self.expected_tags(target))
                    .collect();
                let predicted: Vec<Vec<&str>> = logits
                    .iter()
                    .zip(targets)
                    .map(|(row, target)| self.predicted_tags(row, target))
                    .collect();
                Scores::of_entities(&entities(&expected, &predicted))
            }
            TaskKind::Generate | TaskKind::Mask => self.token_scores(logits, targets),
            TaskKind::Distill => Scores::of_vectors(distillation::cosines(logits, targets)),
        }
    }

    fn token_scores(&self, outputs: &[Vec<f32>], targets: &[&Target]) -> Scores {
        let (mut loss, mut right, mut weight, mut exact) = (0.0, 0.0, 0.0, 0);
        for (outputs, target) in outputs.iter().zip(targets) {
            loss += self.row_loss(outputs, target);
            right += self.correct(outputs, target).unwrap_or(0.0);
            weight += self.weight(target);
            // Greedy decoding gives the answer exactly if each token is the likeliest after the right ones.
            let mut answer = token_outputs(outputs, target).filter(|(weight, _)| *weight == 1.0);
            exact += usize::from(answer.all(|(_, [_, is_right])| *is_right == 1.0));
        }
        let (loss, accuracy) = (loss / weight, right / weight);
        match self.task {
            TaskKind::Mask => Scores::of_hidden_tokens(loss, accuracy),
            _ => Scores::of_tokens(loss, accuracy, exact as f64 / targets.len() as f64),
        }
    }

    fn expected_tags(&self, target: &Target) -> Vec<&str> {
        match target {
            Target::Tags(tags) => tags.iter().map(|tag| self.labels.name(tag.class)).collect(),
            _ => Vec::new(),
        }
    }

    /// The tag of each word; a word that was lost has the tag `O`.
    pub fn predicted_tags(&self, logits: &[f32], target: &Target) -> Vec<&str> {
        let mut predicted = logits.chunks(self.num_outputs()).map(argmax);
        match target {
            Target::Tags(tags) => tags
                .iter()
                .map(|tag| tag.token.and_then(|_| predicted.next()))
                .map(|class| class.map_or("O", |class| self.labels.name(class)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// The labels whose probability is above one half.
pub fn is_set(logits: &[f32]) -> Vec<bool> {
    logits.iter().map(|&logit| logit > 0.0).collect()
}

/// Index of the highest logit, the first of equal ones.
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best
}

/// Weight and output of each target token.
fn token_outputs<'a>(
    outputs: &'a [f32],
    target: &'a Target,
) -> impl Iterator<Item = (f64, &'a [f32; TOKEN_OUTPUT])> {
    let (weights, hidden) = match target {
        Target::Tokens(weights) => (weights.as_slice(), 0),
        Target::Masked(hidden) => (&[][..], hidden.len()),
        _ => (&[][..], 0),
    };
    let counted = weights.iter().filter(|&&weight| weight > 0.0);
    let weights = counted.map(|&weight| f64::from(weight));
    let (outputs, _) = outputs.as_chunks();
    weights.chain(std::iter::repeat_n(1.0, hidden)).zip(outputs)
}

fn values(target: &Target) -> Vec<f32> {
    match target {
        Target::Labels(labels) => labels
            .iter()
            .map(|&is_set| f32::from(u8::from(is_set)))
            .collect(),
        other => vec![number(other) as f32],
    }
}

fn number(target: &Target) -> f64 {
    match target {
        Target::Number(number) => *number,
        _ => f64::NAN,
    }
}

/// `log(1 + e^x) - x y`, summed: torch's `binary_cross_entropy_with_logits`.
fn binary_cross_entropy<B: Backend>(x: Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 1> {
    let softplus = activation::log_sigmoid(x.clone().neg()).neg();
    (softplus - x * y).sum()
}
