//! The losses of a student that learns a teacher's vectors: of texts, or of words.
//!
//! Of texts: one minus the cosine between a row's vector and the teacher's, plus the mean squared difference
//! of the two matrices of cosines between the rows of a batch, so that the student also learns how texts
//! relate (Tung and Mori, 2019). The second part is of the rows that are run together; scores leave it out,
//! so that they do not depend on the batch.
//!
//! Of words, as `TinyBERT`'s hidden states (Jiao et al., 2020) but with cosines: one minus the cosine of each
//! token's vector, and the same for the row's, which counts as much as its tokens together.

use burn::tensor::{Tensor, TensorData};
use rekindle_nn::TrainBackend;

use crate::objective::Target;

/// Keeps the length of a vector of zeros from dividing by 0.
const SHORTEST: f64 = 1e-12;

/// Vectors of length 1 that a teacher gives a row and its words.
#[derive(Clone, Debug, PartialEq)]
pub struct WordVectors {
    /// The row's, which its first token learns.
    pub row: Vec<f32>,
    /// The words', one after the other.
    pub words: Vec<f32>,
    /// Positions of tokens in the row, each with the number of its word.
    pub tokens: Vec<(usize, usize)>,
}

impl WordVectors {
    pub(crate) fn num_outputs(&self) -> usize {
        1 + self.tokens.len()
    }

    /// How much the row's own vector counts.
    fn weight_of_row(&self) -> f32 {
        self.tokens.len().max(1) as f32
    }

    pub(crate) fn weight(&self) -> f64 {
        f64::from(self.weight_of_row()) + self.tokens.len() as f64
    }

    /// Positions in the row of the tokens whose states are scored.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        std::iter::once(0).chain(self.tokens.iter().map(|(position, _)| *position))
    }

    /// The teacher's vector of each output, with its weight.
    fn outputs(&self) -> impl Iterator<Item = (f32, &[f32])> {
        let width = self.row.len();
        let word = move |(_, word): &(usize, usize)| (1.0, &self.words[word * width..][..width]);
        std::iter::once((self.weight_of_row(), &*self.row)).chain(self.tokens.iter().map(word))
    }

    /// The loss of a row with these outputs.
    pub(crate) fn loss(&self, outputs: &[f32]) -> f64 {
        let losses = self.outputs().zip(outputs.chunks(self.row.len()));
        let loss =
            |((weight, teacher), output)| f64::from(weight) * (1.0 - cosine(output, teacher));
        losses.map(loss).sum()
    }
}

/// The mean cosine of rows, and that of tokens where they have a teacher.
pub(crate) fn cosines(outputs: &[Vec<f32>], targets: &[&Target]) -> [Option<f64>; 2] {
    let (mut of_rows, mut of_words, mut words) = (0.0, 0.0, 0);
    for (outputs, target) in outputs.iter().zip(targets) {
        match target {
            Target::Vector(vector) => of_rows += cosine(outputs, vector),
            Target::Words(taught) => {
                let outputs = outputs.chunks(taught.row.len());
                let mut pairs = taught.outputs().zip(outputs);
                of_rows += pairs
                    .next()
                    .map_or(0.0, |((_, row), found)| cosine(found, row));
                words += taught.tokens.len();
                of_words += pairs
                    .map(|((_, word), found)| cosine(found, word))
                    .sum::<f64>();
            }
            _ => {}
        }
    }
    let mean = |sum: f64, count: usize| (count > 0).then(|| sum / count as f64);
    [mean(of_rows, targets.len()), mean(of_words, words)]
}

/// Sum of the losses of a batch whose rows and words have vectors.
///
/// # Shapes
/// - outputs: `[outputs, T]`
/// - output: `[1]`
pub(crate) fn word_loss_sum<B: TrainBackend>(
    outputs: Tensor<B, 2>,
    targets: &[&Target],
) -> Tensor<B, 1> {
    let shape = outputs.dims();
    let (mut weights, mut teacher) = (Vec::with_capacity(shape[0]), Vec::new());
    teacher.reserve(shape[0] * shape[1]);
    for target in targets {
        if let Target::Words(words) = target {
            for (weight, vector) in words.outputs() {
                weights.push(weight);
                teacher.extend(vector.iter().map(|number| number * weight));
            }
        }
    }
    let weight: f64 = weights.iter().copied().map(f64::from).sum();
    let teacher = TensorData::new(teacher, shape);
    let teacher = Tensor::<B, 2>::from_data(teacher, &outputs.device());
    (normalized(outputs) * teacher).sum().neg() + weight
}

/// Vectors at length 1.
fn normalized<B: TrainBackend>(vectors: Tensor<B, 2>) -> Tensor<B, 2> {
    let squares = (vectors.clone() * vectors.clone()).sum_dim(1); // [R, 1]
    vectors / (squares + SHORTEST).sqrt()
}

/// Sum of the losses of a batch whose rows have vectors.
///
/// # Shapes
/// - outputs: `[R, T]`
/// - output: `[1]`
pub(crate) fn loss_sum<B: TrainBackend>(
    outputs: Tensor<B, 2>,
    targets: &[&Target],
) -> Tensor<B, 1> {
    let [rows, width] = outputs.dims();
    let values: Vec<f32> = targets
        .iter()
        .flat_map(|target| vector(target))
        .copied()
        .collect();
    let teacher = TensorData::new(values, [rows, width]);
    let teacher = Tensor::<B, 2>::from_data(teacher, &outputs.device());
    let student = normalized(outputs); // [R, T]
    let cosines = (student.clone() * teacher.clone()).sum();
    let difference =
        student.clone().matmul(student.transpose()) - teacher.clone().matmul(teacher.transpose()); // [R, R]
    let relations = (difference.clone() * difference).sum() / rows as f64;
    relations - cosines + rows as f64
}

/// The cosine between an output and a teacher's vector, which has length 1.
pub(crate) fn cosine(output: &[f32], teacher: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    product(output, teacher) / (product(output, output) + SHORTEST).sqrt()
}

fn vector(target: &Target) -> &[f32] {
    match target {
        Target::Vector(vector) => vector,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use super::*;

    type Exact = Flex;

    fn normalized(vector: &[f64]) -> Vec<f64> {
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter().map(|x| x / length).collect()
    }

    fn product(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_loss_is_that_of_the_formula() {
        let outputs = [[0.3, -1.2, 0.8], [2.0, 0.1, -0.4], [-0.7, 0.9, 0.2]];
        let teacher = [[1.0, 0.5, -0.5], [0.2, 0.1, 0.9], [-1.0, 1.0, 1.0]].map(|x| normalized(&x));
        let student = outputs.map(|x| normalized(&x));
        let mut expected = 0.0;
        for i in 0..3 {
            expected += 1.0 - product(&student[i], &teacher[i]);
            for j in 0..3 {
                let difference =
                    product(&student[i], &student[j]) - product(&teacher[i], &teacher[j]);
                expected += difference * difference / 3.0;
            }
        }
        let targets = teacher
            .clone()
            .map(|x| Target::Vector(x.iter().map(|x| *x as f32).collect()));
        let targets: Vec<&Target> = targets.iter().collect();
        let found = Tensor::<Exact, 2>::from_data(
            outputs.map(|row| row.map(|x| x as f32)),
            &burn_flex::FlexDevice,
        );
        let loss = loss_sum(found, &targets)
            .into_data()
            .iter::<f64>()
            .sum::<f64>();
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        let output = outputs[0].map(|x| x as f32);
        let vector: Vec<f32> = teacher[0].iter().map(|x| *x as f32).collect();
        assert!((cosine(&output, &vector) - product(&student[0], &teacher[0])).abs() < 1e-6);
    }

    #[test]
    fn a_row_counts_as_much_as_its_tokens_together() {
        let outputs = [[0.3, -1.2], [2.0, 0.1], [-0.7, 0.9], [1.5, 1.0], [0.4, 0.4]];
        let vectors = [[1.0, 0.5], [0.2, 0.9], [-1.0, 1.0], [0.6, -0.8]].map(|x| normalized(&x));
        let single = |vector: &[f64]| vector.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let targets = [
            Target::Words(WordVectors {
                row: single(&vectors[0]),
                words: [single(&vectors[1]), single(&vectors[2])].concat(),
                // The second word has two tokens.
                tokens: vec![(1, 0), (2, 1), (3, 1)],
            }),
            Target::Words(WordVectors {
                row: single(&vectors[3]),
                words: Vec::new(),
                tokens: Vec::new(),
            }),
        ];
        let distance = |output: usize, vector: usize| {
            1.0 - product(&normalized(&outputs[output]), &vectors[vector])
        };
        let first = 3.0 * distance(0, 0) + distance(1, 1) + distance(2, 2) + distance(3, 2);
        let expected = first + distance(4, 3);
        let found = Tensor::<Exact, 2>::from_data(
            outputs.map(|row| row.map(|x| x as f32)),
            &burn_flex::FlexDevice,
        );
        let targets: Vec<&Target> = targets.iter().collect();
        let loss: f64 = word_loss_sum(found, &targets)
            .into_data()
            .iter::<f64>()
            .sum();
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        let rows = [
            outputs[..4]
                .as_flattened()
                .iter()
                .map(|x| *x as f32)
                .collect(),
            outputs[4].iter().map(|x| *x as f32).collect::<Vec<_>>(),
        ];
        let [row_cosine, word_cosine] = cosines(&rows, &targets).map(Option::unwrap);
        let of_rows = f64::midpoint(distance(0, 0), distance(4, 3));
        let of_words = (distance(1, 1) + distance(2, 2) + distance(3, 2)) / 3.0;
        assert!((row_cosine - 1.0 + of_rows).abs() < 1e-6, "{row_cosine}");
        assert!((word_cosine - 1.0 + of_words).abs() < 1e-6, "{word_cosine}");
        let Target::Words(words) = targets[0] else {
            unreachable!()
        };
        assert!((words.loss(&rows[0]) - first).abs() < 1e-5);
        assert_eq!(words.weight(), 6.0);
        assert_eq!(words.positions().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_vector_of_zeros_is_far_from_everything() {
        assert_eq!(cosine(&[0.0, 0.0], &[0.6, 0.8]), 0.0);
    }
}
