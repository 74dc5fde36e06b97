//! Which steps a run takes, at what rate, and which it leaves out.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexDevice};
use rekindle_data::Batching;
use rekindle_nn::Linear;
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::events::{End, Skip, Step};
use rekindle_train::objective::Target;
use rekindle_train::optimizer::{AdamW, Gradients};
use rekindle_train::recipe::{Every, MethodKind};
use rekindle_train::run::Plan;
use rekindle_train::stems::Still;
use rekindle_train::task::{RowTask, Task};

use crate::lab::{B, Lab, Record, STEMS, Stub, WIDTH, lab, regression};

fn examples(record: &Record) -> Vec<usize> {
    record.steps.iter().map(|step| step.examples).collect()
}

#[test]
fn planned_steps_are_the_executed_ones() {
    for (accumulate, max_steps, expected) in [
        (1, 0, vec![4, 4, 2, 4, 4, 2]),
        (2, 0, vec![8, 2, 8, 2]),
        (4, 0, vec![10, 10]),
        (1, 4, vec![4, 4, 2, 4]),
        (2, 5, vec![8, 2, 8, 2, 8]),
    ] {
        let mut lab = lab(10);
        lab.recipe.data.batching = Batching::Sequential;
        lab.recipe.train.accumulate = accumulate;
        lab.recipe.train.max_steps = max_steps;
        let plan = Plan::new(&lab.recipe, &lab.train);
        let (record, finish) = lab.run();
        let case = format!("accumulate {accumulate}, max_steps {max_steps}");
        assert_eq!(examples(&record), expected, "{case}");
        assert_eq!(plan.total_steps, expected.len(), "{case}");
        assert_eq!(finish.unwrap().steps, expected.len(), "{case}");
        let numbers: Vec<usize> = record.steps.iter().map(|step| step.step).collect();
        assert_eq!(numbers, (1..=expected.len()).collect::<Vec<_>>(), "{case}");
        assert_eq!(plan.epochs(), record.epochs.len(), "{case}");
    }
}

#[test]
fn the_rate_of_a_step_does_not_depend_on_accumulation() {
    let rates = |batch_size, accumulate| -> Vec<f64> {
        let mut lab = lab(24);
        lab.recipe.train.batch_size = batch_size;
        lab.recipe.train.accumulate = accumulate;
        lab.recipe.train.epochs = Some(4);
        lab.recipe.train.warmup = 3.0;
        let (record, _) = lab.run();
        record.steps.iter().map(|step| step.learning_rate).collect()
    };
    let whole = rates(8, 1);
    assert_eq!(whole, rates(1, 8));
    // Step k of n after a warm-up of w steps has (n - k) / (n - w) of the peak.
    let expected = |step: usize| match step {
        0..3 => 0.01 * step as f64 / 3.0,
        _ => 0.01 * (12 - step) as f64 / 9.0,
    };
    assert_eq!(whole.len(), 12);
    for (step, rate) in whole.iter().enumerate() {
        assert!((rate - expected(step)).abs() < 1e-15, "step {step}: {rate}");
    }
}

#[test]
fn evaluations_come_when_they_are_asked_for_and_at_the_end() {
    let steps = |lab: &Lab| -> Vec<usize> {
        let (record, _) = lab.run();
        record.evaluations.iter().map(|(step, _)| *step).collect()
    };
    let mut lab = lab(10);
    assert_eq!(steps(&lab), [3, 6]);
    lab.recipe.train.evaluate_every = Every::Steps(4);
    assert_eq!(steps(&lab), [4, 6]);
    lab.recipe.train.max_steps = 5;
    lab.recipe.train.evaluate_every = Every::Steps(2);
    assert_eq!(steps(&lab), [2, 4, 5]);
}

#[test]
fn a_loss_that_is_not_finite_leaves_its_update_out() {
    let mut lab = regression();
    lab.train[1].target = Target::Number(f64::MAX);
    let (record, finish) = lab.run();
    assert_eq!(finish.unwrap().end, End::Completed);
    let steps: Vec<usize> = record.steps.iter().map(|step| step.step).collect();
    assert_eq!(steps, [1, 3, 4, 6]);
    let skipped = |step, epoch| Skip {
        step,
        epoch,
        what: "loss".into(),
        value: "inf".into(),
        rows: vec![11],
        in_a_row: 1,
    };
    assert_eq!(record.skips, [skipped(2, 2.0 / 3.0), skipped(5, 5.0 / 3.0)]);
    let mut clean = regression();
    clean.train.remove(1);
    let (clean, _) = clean.run();
    let norms =
        |record: &Record| -> Vec<f64> { record.steps.iter().map(|s| s.grad_norm).collect() };
    assert_eq!(norms(&record)[0], norms(&clean)[0], "before the row");
}

#[test]
fn five_left_out_updates_in_a_row_end_the_run() {
    let mut lab = regression();
    lab.recipe.train.epochs = Some(9);
    lab.recipe.checkpoint.save_every = Every::Steps(1);
    for row in &mut lab.train {
        row.target = Target::Number(f64::MAX);
    }
    let (record, finish) = lab.run();
    let error = finish.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the loss was not finite in 5 steps in a row, last inf in step 5 (rows 11)"
    );
    assert!(error.hint().unwrap().starts_with("lower `--learning-rate`"));
    let rows: Vec<_> = record.skips.iter().map(|skip| skip.rows.clone()).collect();
    assert_eq!(rows, [[10], [11], [12], [10], [11]]);
    assert_eq!(record.checkpoints, [1, 2, 3, 4]);
    assert!(record.steps.is_empty());
}

#[test]
fn a_parameter_that_the_loss_does_not_reach_stops_the_run() {
    let mut lab = lab(10);
    lab.model.spare = Some(Linear::new(2, 2, &FlexDevice));
    let (record, finish) = lab.run();
    assert_eq!(
        finish.unwrap_err().to_string(),
        "the loss reaches no gradient of 2 trainable parameters: spare.weight, spare.bias"
    );
    assert!(record.steps.is_empty() && record.saves.is_empty());
}

#[test]
fn a_seed_repeats_a_run_and_another_one_does_not() {
    let losses = |seed| -> Vec<u64> {
        let mut lab = lab(30);
        lab.recipe.train.seed = seed;
        lab.recipe.data.batching = Batching::Shuffled;
        lab.run()
            .0
            .steps
            .iter()
            .map(|step| step.loss.to_bits())
            .collect()
    };
    let first = losses(1);
    assert_eq!(first, losses(1));
    assert_eq!(first, losses(1));
    assert_ne!(first, losses(2));
}

#[test]
fn frozen_parameters_have_no_gradient_and_no_state() {
    for (kind, trained) in [
        (MethodKind::Head, 2),
        (MethodKind::LastLayers, 4),
        (MethodKind::Full, 5),
    ] {
        let mut lab = lab(4);
        lab.recipe.method.kind = kind;
        let model = lab.adapted();
        let rows: Vec<&Row> = lab.train.iter().collect();
        let batch = Batch::new(&rows, Layout::Ragged, &FlexDevice);
        let targets: Vec<&Target> = rows.iter().map(|row| &row.target).collect();
        let loss = lab
            .objective
            .loss_sum::<B>(RowTask.outputs(&model, batch), &targets);
        let mut gradients = Gradients::<B>::default();
        gradients.add(&model, loss.backward());
        assert!(gradients.missing(&model).is_empty());
        assert_eq!(
            gradients.get("embedding.weight").is_some(),
            kind == MethodKind::Full
        );
        let mut optimizer = AdamW::<Flex>::new(0.01);
        let moved = optimizer.step::<B, _>(model, gradients, 1.0, &|_| 0.1);
        assert_eq!(optimizer.num_states(), trained, "{kind:?}");
        let change = |name: fn(&Stub<Flex>) -> Tensor<Flex, 2>| {
            let difference = name(&moved.valid()) - name(&lab.model.valid());
            difference.abs().max().into_scalar()
        };
        assert!(change(|model| model.head.weight.val()) > 0.0);
        let frozen = change(|model| model.embedding.weight.val());
        assert_eq!(frozen > 0.0, kind == MethodKind::Full, "{kind:?}");
    }
}

#[test]
fn what_a_frozen_part_gives_is_computed_once() {
    let mut lab = lab(12);
    lab.recipe.train.epochs = Some(3);
    lab.recipe.method.kind = MethodKind::Head;
    // So long that more than a batch of them are not run together.
    for row in lab.train.iter_mut().chain(&mut lab.valid) {
        row.ids.resize(300, 1);
        row.type_ids.resize(300, 0);
    }
    let (plain, _) = lab.run();
    assert_eq!(STEMS.get(), 0);
    lab.still = Some(Still {
        blocks: 1,
        width: WIDTH,
    });
    let (kept, finish) = lab.run();
    finish.unwrap();
    // Twelve rows to learn from, and six that judge, four at a time.
    assert_eq!(STEMS.get(), 3 + 2);
    assert_eq!(kept.evaluations, plain.evaluations);
    for (kept, plain) in kept.steps.iter().zip(&plain.steps) {
        assert_eq!(kept.tokens, plain.tokens);
        assert!((kept.loss - plain.loss).abs() < 1e-6, "step {}", plain.step);
    }
    // A run that is taken up again finds the same states, and so the same losses to the last bit.
    lab.around.stop_after = 4;
    let (stopped, _) = lab.run();
    lab.around.stop_after = usize::MAX;
    let (resumed, _) = lab.run_from(stopped.held.as_ref(), None);
    let losses = |steps: &[Step]| steps.iter().map(|step| step.loss).collect::<Vec<_>>();
    assert_eq!(losses(&resumed.steps), losses(&kept.steps[4..]));
    // In one epoch no row comes again.
    STEMS.set(0);
    lab.recipe.train.epochs = Some(1);
    lab.run().1.unwrap();
    assert_eq!(STEMS.get(), 0);
}
