//! The loss of a student that learns a teacher's vectors.
//!
//! One minus the cosine between a row's vector and the teacher's, plus the mean squared difference of the
//! two matrices of cosines between the rows of a batch, so that the student also learns how texts relate
//! (Tung and Mori, 2019). The second part is of the rows that are run together; scores leave it out, so
//! that they do not depend on the batch.

use burn::tensor::{Tensor, TensorData};
use rekindle_nn::TrainBackend;

use crate::objective::Target;

/// Keeps the length of a vector of zeros from dividing by 0.
const SHORTEST: f64 = 1e-12;

/// Sum of the losses of a batch.
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
    let squares = (outputs.clone() * outputs.clone()).sum_dim(1); // [R, 1]
    let student = outputs / (squares + SHORTEST).sqrt(); // [R, T]
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
    fn a_vector_of_zeros_is_far_from_everything() {
        assert_eq!(cosine(&[0.0, 0.0], &[0.6, 0.8]), 0.0);
    }
}
