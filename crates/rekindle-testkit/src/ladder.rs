//! From the embeddings to twenty training steps: the first rung that differs is the one to look at.

use burn::tensor::{Tensor, backend::Backend};
use rekindle_data::{Batching, TaskKind};
use rekindle_nn::{CheckpointNames, Model, Rows, is_transposed, list, tensor_name};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::optimizer::{Gradients, to_host};
use rekindle_train::recipe::{Recipe, ScheduleKind};
use rekindle_train::task::{Goal, TrainableBackend, TrainableModel, TrainableTask};

use crate::{Fixture, Subject, assert_close, assert_gradient_close};

/// Logits, hidden states and loss: absolute difference that f32 rounding explains.
pub(crate) const LOGITS: f64 = 1e-4;
/// Losses of a trajectory, relative.
const TRAJECTORY: f64 = 1e-4;

/// Gives the hidden states of a model before block 0, after it, after block 1, and so on.
pub type Hidden<'a, B, M> = dyn Fn(&M, Batch<B>) -> Vec<Tensor<B, 2>> + 'a;

/// Compares hidden states, logits, loss and every gradient of the first batch with the reference.
///
/// # Panics
/// At the first rung that differs.
///
/// `gradient_tolerance` is relative to the largest number of a tensor.
pub fn climb<B, M, T>(
    fixture: &Fixture,
    subject: &Subject<B, M, T>,
    names: &dyn CheckpointNames,
    hidden: &Hidden<B, M>,
    (layout, gradient_tolerance): (Layout, f64),
) where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = subject.model.devices().remove(0);
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let batch = || Batch::<B>::new(&rows, layout, &device);
    for (index, states) in hidden(&subject.model, batch()).into_iter().enumerate() {
        let name = match index {
            0 => "hidden.embedding".to_owned(),
            _ => format!("hidden.block.{}", index - 1),
        };
        let width = states.dims()[1];
        let states = per_row(&to_vec(states), width, &batch().rows);
        assert_close(
            &name,
            &states,
            &valid_part(&fixture.expected(&name), width, &rows),
            LOGITS,
        );
    }
    climb_from_logits(fixture, subject, names, (layout, gradient_tolerance));
}

/// Compares logits (where a task has them), loss and every gradient of the first batch with the reference.
pub(crate) fn climb_from_logits<B, M, T>(
    fixture: &Fixture,
    subject: &Subject<B, M, T>,
    names: &dyn CheckpointNames,
    (layout, gradient_tolerance): (Layout, f64),
) where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = subject.model.devices().remove(0);
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let targets: Vec<_> = rows.iter().map(|row| &row.target).collect();
    let weights = targets
        .iter()
        .map(|target| subject.objective.weight(target));
    let goal = Goal {
        objective: &subject.objective,
        targets: &targets,
        weight: weights.sum(),
    };
    let mut gradients = Gradients::<B>::default();
    let batch = Batch::<B>::new(&rows, layout, &device);
    let passed = subject
        .task
        .pass(&subject.model, batch, goal, &mut gradients);
    // The outputs of tokens are losses; their logits are compared apart.
    if !matches!(
        subject.objective.task(),
        TaskKind::Generate | TaskKind::Mask
    ) {
        let outputs = subject.objective.num_outputs();
        let expected = expected_logits(&fixture.expected("logits"), outputs, &rows);
        assert_close("logits", &passed.outputs, &expected, LOGITS);
    }
    let loss = (passed.loss / goal.weight) as f32;
    assert_close("loss", &[loss], &fixture.expected("loss"), LOGITS);
    compare_gradients(
        fixture,
        &subject.model,
        &gradients,
        (names, gradient_tolerance),
    );
}

/// Compares every gradient of the first batch with the reference.
pub(crate) fn compare_gradients<B: TrainableBackend, M: TrainableModel<B>>(
    fixture: &Fixture,
    model: &M,
    gradients: &Gradients<B>,
    (names, tolerance): (&dyn CheckpointNames, f64),
) {
    assert_eq!(
        gradients.missing(model),
        Vec::<String>::new(),
        "every parameter has a gradient"
    );
    let norm = gradients.norm();
    for (name, found) in by_tensor(model, gradients, names) {
        let expected = fixture.expected(&format!("grad.{name}"));
        assert_gradient_close(&name, &found, &expected, tolerance, norm);
    }
}

/// Gradients under the names and in the layout of the checkpoint.
fn by_tensor<B: TrainableBackend, M: Model<B>>(
    model: &M,
    gradients: &Gradients<B>,
    names: &dyn CheckpointNames,
) -> Vec<(String, Vec<f32>)> {
    let parameters = list::<B, M>(model).into_iter();
    parameters
        .filter(|parameter| parameter.is_trainable)
        .map(|parameter| {
            let found = gradients.get(&parameter.path.name).expect("checked before");
            let mut found = to_host(found.clone());
            if is_transposed(names, &parameter.path) {
                let (rows, columns) = (parameter.shape[0], parameter.shape[1]);
                let transposed = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c)));
                found = transposed.map(|(r, c)| found[r * columns + c]).collect();
            }
            (tensor_name(names, &parameter.path), found)
        })
        .collect()
}

/// Trains twenty steps and compares each loss, gradient norm and learning rate with the reference.
///
/// # Panics
/// At the first step that differs.
pub fn follow_trajectory<B, M, T>(fixture: &Fixture, subject: &Subject<B, M, T>, layout: Layout)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    follow(fixture, subject, subject.adapt(&Recipe::default()), layout);
}

/// Trains a model twenty steps as it is, frozen parameters and all.
pub(crate) fn follow<B, M, T>(
    fixture: &Fixture,
    subject: &Subject<B, M, T>,
    model: M,
    layout: Layout,
) where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let expected = fixture.trajectory();
    let mut recipe = Recipe::default();
    recipe.data.batching = Batching::Sequential;
    recipe.train.batch_size = fixture.batches[0].len();
    recipe.train.max_steps = expected.loss.len();
    recipe.train.learning_rate = Some(1e-3);
    recipe.train.schedule = ScheduleKind::Linear;
    recipe.train.warmup = 2.0;
    let part = subject.train_model(model, &recipe, layout, (None, usize::MAX));
    let steps = part.steps;
    assert_eq!(steps.len(), expected.loss.len());
    let near = |what: &str, step: usize, found: f64, expected: f64| {
        let allowed = TRAJECTORY * expected.abs().max(1e-6);
        assert!(
            (found - expected).abs() <= allowed,
            "{what} of step {step} is {found}, expected {expected}"
        );
    };
    for (index, step) in steps.iter().enumerate() {
        near(
            "learning rate",
            step.step,
            step.learning_rate,
            expected.learning_rate[index],
        );
        near("loss", step.step, step.loss, expected.loss[index]);
        near(
            "gradient norm",
            step.step,
            step.grad_norm,
            expected.grad_norm[index],
        );
    }
}

pub(crate) fn to_vec<B: Backend>(tensor: Tensor<B, 2>) -> Vec<f32> {
    to_host(tensor.flatten::<1>(0, 1))
}

/// Values of the real tokens, row by row.
pub(crate) fn per_row(values: &[f32], width: usize, rows: &Rows) -> Vec<f32> {
    let starts = rows.starts();
    let rows = starts.iter().zip(rows.lengths());
    rows.flat_map(|(start, length)| &values[start * width..(start + length) * width])
        .copied()
        .collect()
}

/// The same of a reference padded to the longest row.
pub(crate) fn valid_part(values: &[f32], width: usize, rows: &[&Row]) -> Vec<f32> {
    let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
    let tokens = rows.iter().enumerate();
    tokens
        .flat_map(|(index, row)| {
            let start = index * longest * width;
            &values[start..start + row.ids.len() * width]
        })
        .copied()
        .collect()
}

/// Reference logits of the targets: all of a sequence head, those of the tagged or hidden tokens of others.
pub(crate) fn expected_logits(values: &[f32], outputs: usize, rows: &[&Row]) -> Vec<f32> {
    use rekindle_train::objective::Target;
    let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
    let mut expected = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let slots: Vec<usize> = match &row.target {
            Target::Tags(tags) => tags
                .iter()
                .filter_map(|tag| tag.token)
                .map(|t| index * longest + t)
                .collect(),
            Target::Class(_) | Target::Labels(_) | Target::Number(_) | Target::Vector(_) => {
                vec![index]
            }
            Target::Masked(hidden) => hidden
                .iter()
                .map(|token| index * longest + token.position)
                .collect(),
            Target::Tokens(_) | Target::Words(_) => Vec::new(),
        };
        for slot in slots {
            expected.extend(&values[slot * outputs..(slot + 1) * outputs]);
        }
    }
    expected
}
