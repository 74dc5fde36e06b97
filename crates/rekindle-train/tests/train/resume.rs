//! A run that is stopped, or whose device fails, goes on as if nothing had happened.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rekindle_data::Batching;
use rekindle_train::error::TrainError;
use rekindle_train::events::{End, Event};
use rekindle_train::objective::Target;
use rekindle_train::recipe::{Every, ScheduleKind};
use serde_json::Value;

use crate::lab::{Lab, Record, lab, regression, rows};

/// What a run tells of its steps and evaluations, without the time that they took.
fn told(record: &Record) -> Vec<Value> {
    let events = record.told.iter().filter(|event| {
        matches!(
            event,
            Event::Step(_) | Event::Skip(_) | Event::Evaluation(_) | Event::Epoch(_)
        )
    });
    let timeless = events.map(|event| {
        let mut object = serde_json::to_value(event).unwrap();
        for key in ["seconds", "tokens_per_second", "memory_bytes"] {
            object.as_object_mut().unwrap().remove(key);
        }
        object
    });
    timeless.collect()
}

/// Stops after each of the steps in turn, goes on, and compares with the run that was let be.
fn stops_change_nothing(mut lab: Lab) {
    let (whole, finish) = lab.run();
    let finish = finish.unwrap();
    assert!(finish.steps > 3, "there is something to stop");
    for stop_after in 1..finish.steps {
        lab.around.stop_after = stop_after;
        let (first, end) = lab.run();
        assert_eq!(end.unwrap().end, End::Interrupted);
        lab.around.stop_after = usize::MAX;
        let (second, end) = lab.run_from(first.held.as_ref(), None);
        let end = end.unwrap();
        assert_eq!(second.resumed, Some(stop_after));
        assert_eq!(
            [told(&first), told(&second)].concat(),
            told(&whole),
            "stop after {stop_after}"
        );
        assert_eq!(
            (end.end, end.steps, end.best_step, end.best),
            (finish.end, finish.steps, finish.best_step, finish.best)
        );
        let bits = |record: &Record| -> Vec<u32> {
            let held = record.held.as_ref().expect("the end is a checkpoint");
            held.values().map(f32::to_bits).collect()
        };
        assert!(
            bits(&second) == bits(&whole),
            "weights after a stop after {stop_after}"
        );
    }
}

#[test]
fn a_stop_anywhere_changes_nothing() {
    let mut lab = lab(22);
    lab.recipe.data.batching = Batching::Bucketed;
    lab.recipe.train.accumulate = 2;
    lab.recipe.train.schedule = ScheduleKind::Cosine;
    lab.recipe.train.evaluate_every = Every::Steps(2);
    lab.recipe.checkpoint.save_every = Every::Steps(4);
    stops_change_nothing(lab);
}

#[test]
fn updates_that_were_left_out_stay_left_out() {
    let mut lab = regression();
    lab.recipe.train.epochs = Some(3);
    lab.train[1].target = Target::Number(f64::MAX);
    lab.recipe.data.batching = Batching::Shuffled;
    stops_change_nothing(lab);
}

/// Whatever this learns is wrong, so that each evaluation is worse than the one before.
fn hopeless() -> Lab {
    let mut lab = lab(24);
    lab.valid = rows(6, |token| 1 - token as usize % 2);
    "loss".clone_into(&mut lab.recipe.checkpoint.metric);
    lab.recipe.checkpoint.patience = 4;
    lab.recipe.train.evaluate_every = Every::Steps(1);
    lab.recipe.train.schedule = ScheduleKind::Constant;
    lab.recipe.train.warmup = 0.0;
    lab
}

#[test]
fn a_run_that_gets_no_better_ends_early() {
    let (record, finish) = hopeless().run();
    let finish = finish.unwrap();
    assert_eq!(
        (finish.end, finish.steps, finish.best_step),
        (End::StoppedEarly, 5, 1)
    );
    assert_eq!(
        record.saves,
        [1],
        "the best weights are the ones that are kept"
    );
    assert_eq!(record.epochs, [5], "the epoch is told as far as it came");
    assert_eq!(record.checkpoints, [1, 5]);
}

#[test]
fn patience_survives_a_stop() {
    stops_change_nothing(hopeless());
}

#[test]
fn patience_without_evaluations_is_refused() {
    let mut lab = hopeless();
    lab.valid.clear();
    let error = lab.run().1.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`checkpoint.patience` is set, and there are no validation rows"
    );
    assert!(error.hint().unwrap().contains("--valid"));
}

#[test]
fn a_run_that_was_killed_after_its_last_step_only_ends() {
    let lab = lab(10);
    let (whole, finish) = lab.run();
    let (record, end) = lab.run_from(whole.held.as_ref(), None);
    assert!(record.steps.is_empty() && record.evaluations.is_empty());
    let (end, finish) = (end.unwrap(), finish.unwrap());
    assert_eq!((end.end, end.steps), (End::Completed, finish.steps));
    assert_eq!((end.best_step, end.best), (finish.best_step, finish.best));
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let lab = lab(10);
    let (whole, _) = lab.run();
    let other = regression();
    let error = other.run_from(whole.held.as_ref(), None).1.unwrap_err();
    let TrainError::Restore(misfit) = &error else {
        panic!("{error}");
    };
    assert!(misfit.to_string().contains("head.weight"), "{misfit}");
    assert!(error.hint().unwrap().contains("--output"));
}

#[test]
fn fewer_rows_a_pass_are_the_same_step() {
    let mut lab = lab(22);
    lab.recipe.train.accumulate = 2;
    lab.recipe.train.evaluate_every = Every::Steps(2);
    let (whole, _) = lab.run();
    lab.around.capacity = 2;
    let refused = catch_unwind(AssertUnwindSafe(|| lab.run()));
    assert!(refused.is_err(), "four rows are too many for the device");
    let (split, finish) = lab.run_from(None, Some(2));
    assert_eq!(finish.unwrap().steps, whole.steps.len());
    assert_eq!(split.split, Some((2, 4)), "half the rows, twice the passes");
    for (split, whole) in split.steps.iter().zip(&whole.steps) {
        let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-5 * expected.abs();
        assert_eq!(
            (split.examples, split.tokens),
            (whole.examples, whole.tokens)
        );
        assert!(near(split.loss, whole.loss) && near(split.grad_norm, whole.grad_norm));
    }
    let (again, finish) = lab.run_from(split.held.as_ref(), None);
    assert_eq!(finish.unwrap().end, End::Completed);
    assert_eq!(again.split, None, "it was told before");
}

#[test]
fn a_split_lasts_beyond_a_stop() {
    let mut lab = lab(10);
    lab.around.capacity = 2;
    lab.around.stop_after = 3;
    let (first, _) = lab.run_from(None, Some(2));
    lab.around.stop_after = usize::MAX;
    let (second, finish) = lab.run_from(first.held.as_ref(), None);
    assert_eq!(finish.unwrap().end, End::Completed);
    assert_eq!(second.steps.len(), 3);
}

#[test]
fn nothing_is_saved_after_a_failure_of_the_device() {
    let mut lab = lab(10);
    lab.recipe.checkpoint.save_every = Every::Steps(1);
    lab.around.fails_after = 3;
    let (record, finish) = lab.run();
    let error = finish.unwrap_err();
    assert_eq!(error.to_string(), "the device failed: the device is lost");
    assert_eq!(record.checkpoints, [1, 2]);
    assert!(record.saves.is_empty(), "nor are weights kept");
}
