//! Logits of hidden tokens against the reference.

use rekindle_nn::{MaskedLm, TrainBackend};
use rekindle_train::batch::{Batch, Layout, Row};

use crate::ladder::{LOGITS, expected_logits, to_vec};
use crate::{Fixture, assert_close};

/// Compares the logits of the hidden tokens of the first batch with the reference.
///
/// # Panics
/// If they differ.
pub fn masked_logits_equal<B: TrainBackend, M: MaskedLm<B>>(
    fixture: &Fixture,
    model: &M,
    layout: Layout,
) {
    let device = model.devices().remove(0);
    let rows: Vec<&Row> = fixture.batches[0].iter().collect();
    let batch = Batch::<B>::new(&rows, layout, &device);
    let states = model.states(batch.input, &batch.rows, batch.scored);
    let expected = expected_logits(&fixture.expected("logits"), model.vocabulary(), &rows);
    assert_close("logits", &to_vec(model.project(states)), &expected, LOGITS);
}
