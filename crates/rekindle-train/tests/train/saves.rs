//! What a run keeps, and when.

use burn_flex::{Flex, FlexDevice};
use rekindle_train::events::End;
use rekindle_train::recipe::{Every, ScheduleKind};

use crate::lab::{lab, rows};

#[test]
fn the_weights_of_the_best_step_are_kept() {
    let mut lab = lab(12);
    // What is learned is wrong here, so every step is worse than the one before.
    lab.valid = rows(6, |token| 1 - token as usize % 2);
    lab.recipe.checkpoint.metric = "loss".to_owned();
    lab.recipe.train.evaluate_every = Every::Steps(1);
    lab.recipe.train.schedule = ScheduleKind::Constant;
    lab.recipe.train.warmup = 0.0;
    let (record, finish) = lab.run();
    let finish = finish.unwrap();
    assert_eq!((finish.steps, finish.best_step), (6, 1));
    assert_eq!(record.saves, [1]);
    let best: Vec<bool> = record
        .evaluations
        .iter()
        .map(|(_, is_best)| *is_best)
        .collect();
    assert_eq!(best, [true, false, false, false, false, false]);
    let kept = record.kept.expect("the best weights are kept");
    let found = lab
        .runner()
        .evaluate::<Flex, _>(&kept, &lab.valid, &FlexDevice);
    assert_eq!(Some(found.loss), finish.best);
}

#[test]
fn every_improvement_is_kept() {
    let mut lab = lab(12);
    lab.recipe.checkpoint.metric = "loss".to_owned();
    lab.recipe.train.evaluate_every = Every::Steps(2);
    let (record, finish) = lab.run();
    let best: Vec<usize> = record
        .evaluations
        .iter()
        .filter(|(_, is_best)| *is_best)
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(record.saves, best);
    assert_eq!(finish.unwrap().best_step, 6);
}

#[test]
fn without_a_choice_the_last_weights_are_kept() {
    let mut last = lab(10);
    last.recipe.checkpoint.keep_best = false;
    let mut unevaluated = lab(10);
    unevaluated.valid.clear();
    for lab in [last, unevaluated] {
        let (record, finish) = lab.run();
        let finish = finish.unwrap();
        assert_eq!(record.saves, [6]);
        assert_eq!(
            (finish.best_step, finish.metric, finish.best),
            (6, None, None)
        );
    }
}

#[test]
fn a_stop_saves_a_checkpoint_and_judges_nothing() {
    let mut lab = lab(10);
    lab.around.stop_after = 2;
    let (record, finish) = lab.run();
    let finish = finish.unwrap();
    assert_eq!((finish.end, finish.steps), (End::Interrupted, 2));
    assert_eq!(record.checkpoints, [2]);
    assert!(record.evaluations.is_empty() && record.epochs.is_empty());
    // Nothing better is there, and a user may want to look at it.
    assert_eq!((record.saves, finish.best_step), (vec![2], 2));
}

#[test]
fn a_stop_that_cannot_be_saved_says_so() {
    let mut lab = lab(10);
    lab.around.stop_after = 2;
    lab.recipe.checkpoint.save_every = Every::Steps(1);
    assert_eq!(lab.run().1.unwrap().checkpoint, Some(2));
    lab.around.full_at = |step| step == 2;
    let (record, finish) = lab.run();
    let finish = finish.unwrap();
    assert_eq!((finish.end, finish.checkpoint), (End::Interrupted, Some(1)));
    assert_eq!(
        record.warnings,
        [
            "no checkpoint of step 2, the next one is tried in its turn: the disk is full",
            "the weights could not be saved: the disk is full",
        ]
    );
}

#[test]
fn a_stop_after_the_last_step_is_none() {
    let mut lab = lab(10);
    lab.around.stop_after = 6;
    assert_eq!(lab.run().1.unwrap().end, End::Completed);
}

#[test]
fn weights_that_cannot_be_kept_at_the_end_are_an_error() {
    let mut lab = lab(10);
    lab.around.full_at = |_| true;
    let (record, finish) = lab.run();
    let error = finish.expect_err("nothing was kept");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(error.to_string(), "cannot save the weights");
    assert_eq!(source.as_deref(), Some("the disk is full"));
    assert_eq!(record.steps.len(), 6, "training went on");
}

#[test]
fn a_full_disk_is_told_and_the_next_save_tries_again() {
    let mut lab = lab(12);
    lab.recipe.checkpoint.metric = "loss".to_owned();
    lab.recipe.checkpoint.save_every = Every::Steps(2);
    lab.recipe.train.evaluate_every = Every::Steps(2);
    lab.around.full_at = |step| step == 4;
    let (record, finish) = lab.run();
    assert_eq!(record.checkpoints, [2, 6]);
    assert_eq!(record.saves, [2, 6]);
    assert_eq!(
        record.warnings,
        [
            "the best weights could not be saved, training goes on: the disk is full",
            "no checkpoint of step 4, the next one is tried in its turn: the disk is full",
        ]
    );
    assert_eq!(finish.unwrap().best_step, 6);
}

#[test]
fn an_unknown_metric_is_refused_before_the_first_step() {
    let mut lab = lab(10);
    lab.recipe.checkpoint.metric = "spearman".to_owned();
    let (record, finish) = lab.run();
    let error = finish.unwrap_err();
    assert_eq!(error.to_string(), "unknown metric `spearman`");
    let known = "one of: auto, loss, accuracy, macro_f1, micro_f1, mcc";
    assert_eq!(error.hint().as_deref(), Some(known));
    assert!(record.steps.is_empty());
}
