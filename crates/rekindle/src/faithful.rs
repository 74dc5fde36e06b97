//! The proof that a saved model answers as the one in memory did.

use std::path::Path;

use crate::error::Error;

/// Largest difference of a logit after saving and loading, relative to the largest logit: the weights
/// are the same numbers, and kernels may still add them up in another order.
const FAITHFUL: f32 = 1e-4;

/// Refuses a saved model whose logits are not those that were in memory.
pub(crate) fn compare(kept: &[Vec<f32>], found: &[Vec<f32>], saved: &Path) -> Result<(), Error> {
    let kept = kept.iter().flatten();
    let largest = kept
        .clone()
        .fold(1.0_f32, |most, logit| most.max(logit.abs()));
    let difference = kept
        .zip(found.iter().flatten())
        .map(|(kept, found)| (kept - found).abs())
        // `max` would drop a NaN.
        .fold(
            0.0_f32,
            |most, difference| if difference <= most { most } else { difference },
        );
    let allowed = FAITHFUL * largest;
    if difference <= allowed {
        return Ok(());
    }
    Err(Error::Unfaithful {
        path: saved.to_owned(),
        difference,
        allowed,
    })
}
