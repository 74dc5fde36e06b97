//! What holds for every model and head, whatever its weights.

mod adapters;

use std::collections::BTreeSet;

use rekindle_data::{Batching, TaskKind};
use rekindle_nn::{Depth, Model, ParameterPath, export, list};
use rekindle_train::batch::{Batch, Layout};
use rekindle_train::events::Step;
use rekindle_train::recipe::{MethodKind, Recipe, ScheduleKind};
use rekindle_train::stems::Still;
use rekindle_train::task::{Inner, TrainableBackend, TrainableModel, TrainableTask};

use crate::{OwnNames, Subject, assert_close};

/// Equal up to the order of additions in f32.
const ROUNDING: f64 = 1e-5;

/// Runs every law on a subject without dropout.
///
/// # Panics
/// If a law is broken.
pub fn hold<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    one_batch_can_be_overfitted(subject);
    accumulation_equals_one_batch(subject);
    a_partial_window_counts_its_own_rows(subject);
    frozen_weights_do_not_move(subject);
    resuming_changes_nothing(subject);
    states_that_are_kept_change_nothing(subject);
    adapters::hold(subject);
    padding_changes_nothing(subject);
    the_evaluation_does_not_depend_on_the_batch(subject);
}

/// A recipe that takes the rows in order, with a constant learning rate.
pub fn plain_recipe(steps: usize, batch_size: usize, learning_rate: f64) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.data.batching = Batching::Sequential;
    recipe.train.batch_size = batch_size;
    recipe.train.max_steps = steps;
    recipe.train.learning_rate = Some(learning_rate);
    recipe.train.schedule = ScheduleKind::Constant;
    recipe.train.warmup = 0.0;
    recipe
}

fn one_batch_can_be_overfitted<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let recipe = plain_recipe(80, subject.rows.len(), 1e-2);
    let (_, steps, _) = subject.train(&recipe, Layout::Ragged);
    let (first, last) = (steps[0].loss, steps[steps.len() - 1].loss);
    assert!(
        last < 0.1 * first,
        "the loss of one batch fell only from {first} to {last}"
    );
}

fn accumulation_equals_one_batch<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let whole = plain_recipe(4, 4, 1e-3);
    let mut pieces = plain_recipe(4, 1, 1e-3);
    pieces.train.accumulate = 4;
    let (_, whole, _) = subject.train(&whole, Layout::Ragged);
    let (_, pieces, _) = subject.train(&pieces, Layout::Ragged);
    for (whole, pieces) in whole.iter().zip(&pieces) {
        let step = whole.step;
        assert_eq!(whole.examples, pieces.examples, "rows of step {step}");
        assert_eq!(whole.tokens, pieces.tokens, "tokens of step {step}");
        near(&format!("loss of step {step}"), pieces.loss, whole.loss);
        near(
            &format!("gradient norm of step {step}"),
            pieces.grad_norm,
            whole.grad_norm,
        );
        assert_eq!(
            whole.learning_rate, pieces.learning_rate,
            "learning rate of step {step}"
        );
    }
}

/// Ten rows in windows of four make three steps, the last one of two rows and of their mean.
fn a_partial_window_counts_its_own_rows<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let mut subject = subject.clone();
    subject.rows.truncate(10);
    let mut recipe = plain_recipe(0, 1, 1e-3);
    recipe.train.epochs = Some(1);
    recipe.train.accumulate = 4;
    let (_, steps, finish) = subject.train(&recipe, Layout::Ragged);
    let examples: Vec<usize> = steps.iter().map(|step| step.examples).collect();
    assert_eq!(examples, [4, 4, 2], "rows of each step");
    assert_eq!(finish.steps, 3);
    let mut whole = plain_recipe(0, 4, 1e-3);
    whole.train.epochs = Some(1);
    let (_, whole, _) = subject.train(&whole, Layout::Ragged);
    near(
        "gradient norm of the last window",
        steps[2].grad_norm,
        whole[2].grad_norm,
    );
    near("loss of the last window", steps[2].loss, whole[2].loss);
}

fn frozen_weights_do_not_move<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let last = subject.model.num_blocks() - 1;
    for (kind, lowest) in [
        (MethodKind::Head, Depth::Head),
        (MethodKind::LastLayers, Depth::Block(last)),
    ] {
        let mut recipe = plain_recipe(3, 4, 1e-2);
        recipe.method.kind = kind;
        recipe.method.layers = 1;
        let (trained, _, _) = subject.train(&recipe, Layout::Ragged);
        let before = values::<B, M>(&subject.model);
        for ((path, before), (_, after)) in before.iter().zip(values::<B, M>(&trained)) {
            let is_frozen = subject.model.depth(path) < lowest;
            let moved = before
                .iter()
                .zip(&after)
                .any(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(moved, !is_frozen, "{kind:?}: whether `{}` moved", path.name);
        }
        let states = list::<B, M>(&trained);
        for parameter in states {
            let is_frozen = subject.model.depth(&parameter.path) < lowest;
            assert_eq!(
                parameter.is_trainable, !is_frozen,
                "{kind:?}: `{}`",
                parameter.path.name
            );
        }
    }
}

/// Two steps and two after a stop equal four, bit for bit: losses, rates and weights.
fn resuming_changes_nothing<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let schedules = [
        (MethodKind::Full, ScheduleKind::Linear),
        (MethodKind::Full, ScheduleKind::Cosine),
        (MethodKind::Full, ScheduleKind::Constant),
        (MethodKind::Head, ScheduleKind::Wsd),
        (MethodKind::LastLayers, ScheduleKind::Linear),
        (MethodKind::Lora, ScheduleKind::Cosine),
    ];
    for (kind, schedule) in schedules {
        let mut recipe = plain_recipe(4, 2, 1e-3);
        recipe.data.batching = Batching::Shuffled;
        recipe.train.accumulate = 2;
        recipe.train.warmup = 1.0;
        recipe.train.schedule = schedule;
        recipe.method.kind = kind;
        let part = |from, stop_after| subject.train_part(&recipe, Layout::Ragged, from, stop_after);
        let whole = part(None, usize::MAX);
        let first = part(None, 2);
        assert_eq!(first.steps.len(), 2, "a stop ends the run");
        let held = first.held.expect("a stop saves a checkpoint");
        let trained = list::<B, M>(&first.model)
            .into_iter()
            .filter(|p| p.is_trainable);
        let trained: BTreeSet<String> = trained.map(|p| p.path.name).collect();
        let saved: BTreeSet<String> = held.parameters().map(str::to_owned).collect();
        assert_eq!(saved, trained, "{kind:?}: what a checkpoint holds");
        let second = part(Some(&held), usize::MAX);
        let numbers = |steps: &[Step]| -> Vec<_> {
            let number = |step: &Step| [step.loss, step.grad_norm, step.learning_rate];
            steps
                .iter()
                .map(|step| (step.step, number(step).map(f64::to_bits)))
                .collect()
        };
        let parts = [numbers(&first.steps), numbers(&second.steps)].concat();
        assert_eq!(parts, numbers(&whole.steps), "{kind:?}, {schedule:?}");
        let bits = |model| -> Vec<_> {
            let values = values::<B, M>(model).into_iter();
            values
                .map(|(path, values)| {
                    (
                        path.name,
                        values.into_iter().map(f32::to_bits).collect::<Vec<_>>(),
                    )
                })
                .collect()
        };
        assert!(
            bits(&second.model) == bits(&whole.model),
            "{kind:?}, {schedule:?}: weights"
        );
    }
}

/// For a model that can go on from the states of its blocks.
fn states_that_are_kept_change_nothing<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let blocks = subject.model.num_blocks();
    for (kind, blocks) in [
        (MethodKind::Head, blocks),
        (MethodKind::LastLayers, blocks - 1),
    ] {
        let mut recipe = plain_recipe(0, 4, 1e-2);
        recipe.train.epochs = Some(3);
        recipe.method.kind = kind;
        recipe.method.layers = 1;
        for layout in [Layout::Ragged, Layout::Padded { multiple: 4 }] {
            let Some(width) = stem_width(subject, blocks) else {
                return;
            };
            let mut kept = subject.clone();
            kept.still = Some(Still { blocks, width });
            let (_, kept, _) = kept.train(&recipe, layout);
            let (_, plain, _) = subject.train(&recipe, layout);
            assert_eq!(kept.len(), plain.len());
            for (kept, plain) in kept.iter().zip(&plain) {
                let step = plain.step;
                near(&format!("loss of step {step}"), kept.loss, plain.loss);
                near(
                    &format!("gradient norm of step {step}"),
                    kept.grad_norm,
                    plain.grad_norm,
                );
            }
        }
    }
}

/// Numbers of a state after so many blocks, if the model tells it.
fn stem_width<B, M, T>(subject: &Subject<B, M, T>, blocks: usize) -> Option<usize>
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = subject.model.devices().remove(0);
    let batch = Batch::<B>::new(&[&subject.rows[0]], Layout::Ragged, &device);
    let states = subject.model.stem(batch.input, &batch.rows, blocks)?;
    Some(states.dims()[1])
}

fn padding_changes_nothing<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = subject.model.devices().remove(0);
    let model = subject.model.valid();
    let logits = |layout, batch| {
        subject
            .runner(layout, batch)
            .outputs::<Inner<B>, _>(&model, &subject.rows, &device)
            .concat()
    };
    let alone = logits(Layout::Ragged, 1);
    for (what, layout, batch) in [
        ("ragged batch", Layout::Ragged, 5),
        ("padded batch", Layout::Padded { multiple: 1 }, 5),
        ("padded to 16", Layout::Padded { multiple: 16 }, 3),
    ] {
        assert_close(what, &logits(layout, batch), &alone, ROUNDING);
    }
}

fn the_evaluation_does_not_depend_on_the_batch<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let device = subject.model.devices().remove(0);
    let model = subject.model.valid();
    let evaluate = |batch| {
        let runner = subject.runner(Layout::Ragged, batch);
        runner.evaluate::<Inner<B>, _>(&model, &subject.rows, &device)
    };
    let alone = evaluate(1);
    for batch in [7, 32] {
        let found = evaluate(batch);
        let difference = (found.loss - alone.loss).abs() / alone.loss;
        assert!(
            difference < 1e-6,
            "loss with batches of {batch}: {} {}",
            found.loss,
            alone.loss
        );
        for ((name, found), (_, alone)) in found.scores.summary.iter().zip(&alone.scores.summary) {
            near(&format!("{name} with batches of {batch}"), *found, *alone);
        }
    }
}

/// Dropout acts in training only, repeats with the seed, and differs between seeds.
///
/// # Panics
/// If it does not. The subject's model has dropout.
pub fn dropout_repeats_with_the_seed<B, M, T>(subject: &Subject<B, M, T>)
where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let losses = |seed| -> Vec<u64> {
        let mut recipe = plain_recipe(5, 4, 1e-3);
        recipe.train.seed = seed;
        let (_, steps, _) = subject.train(&recipe, Layout::Ragged);
        steps.iter().map(|step| step.loss.to_bits()).collect()
    };
    let first = losses(1);
    assert_eq!(first, losses(1), "the same seed repeats bit for bit");
    assert_ne!(first[0], losses(2)[0], "another seed draws other masks");
    resuming_changes_nothing(subject);
    let device = subject.model.devices().remove(0);
    let evaluate = || {
        let model = subject.model.valid();
        let runner = subject.runner(Layout::Ragged, 4);
        runner
            .evaluate::<Inner<B>, _>(&model, &subject.rows, &device)
            .loss
    };
    assert_eq!(
        evaluate().to_bits(),
        evaluate().to_bits(),
        "an evaluation draws nothing"
    );
}

fn values<B: TrainableBackend, M: Model<B>>(model: &M) -> Vec<(ParameterPath, Vec<f32>)> {
    let paths = list::<B, M>(model)
        .into_iter()
        .map(|parameter| parameter.path);
    paths
        .zip(
            export::<B, M>(model, &OwnNames(TaskKind::Classify))
                .into_iter()
                .map(|tensor| (tensor.values)()),
        )
        .collect()
}

fn near(what: &str, found: f64, expected: f64) {
    let difference = (found - expected).abs();
    assert!(
        difference <= ROUNDING * expected.abs().max(1e-3),
        "{what}: {found}, expected {expected}"
    );
}
