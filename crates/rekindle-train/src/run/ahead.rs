//! Rows of the steps to come, made on a thread of their own while the model is busy with others.

use std::borrow::Cow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use super::Plan;
use crate::batch::{Row, RowFailure, RowSource};

/// Steps whose rows are made ahead.
const STEPS_AHEAD: usize = 2;

/// The rows of a step's micro-batches.
pub(super) type Window<'a> = Vec<Vec<Drawn<'a>>>;

/// A row with its index among the training rows.
pub(super) struct Drawn<'a> {
    pub(super) index: usize,
    pub(super) row: Cow<'a, Row>,
}

/// A row that could not be made, by its index.
pub(super) type Missing = (usize, RowFailure);

/// Makes the rows of all steps, in their order, from one of an epoch on; until nobody takes them any more.
pub(super) fn windows<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    (plan, train): (Plan, &'a dyn RowSource),
    (first_epoch, first_step): (usize, usize),
) -> Receiver<Result<Window<'a>, Missing>> {
    let (sender, receiver) = sync_channel(STEPS_AHEAD);
    scope.spawn(move || {
        let mut passed = first_step;
        for epoch in first_epoch.. {
            for window in plan.epoch(epoch).iter().skip(passed) {
                if sender.send(draw(train, window, epoch)).is_err() {
                    return;
                }
            }
            passed = 0;
        }
    });
    receiver
}

fn draw<'a>(
    train: &'a dyn RowSource,
    window: &[Vec<usize>],
    epoch: usize,
) -> Result<Window<'a>, Missing> {
    let row = |&index: &usize| match train.row(index, epoch) {
        Ok(row) => Ok(Drawn { index, row }),
        Err(failure) => Err((index, failure)),
    };
    let batches = window.iter();
    batches
        .map(|batch| batch.iter().map(row).collect())
        .collect()
}
