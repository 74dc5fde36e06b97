//! The proof that a saved model answers as the one in memory did.

use std::path::Path;

use rekindle_hub::StoredType;

use crate::error::Error;

/// Largest difference of a logit after saving and loading, relative to the largest logit.
fn allowed_difference(stored: StoredType) -> f32 {
    match stored {
        // The weights are the same numbers, and kernels may still add them up in another order.
        StoredType::F32 => 1e-4,
        // Each weight is off by half a unit of its last place, and as many of them meet as layers are deep.
        StoredType::F16 => 1e-2,
        StoredType::Bf16 => 8e-2,
    }
}

/// Refuses a saved model whose logits are not those that were in memory.
pub(crate) fn compare(
    kept: &[Vec<f32>],
    found: &[Vec<f32>],
    (saved, stored): (&Path, StoredType),
) -> Result<(), Error> {
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
    let allowed = allowed_difference(stored) * largest;
    if difference <= allowed {
        return Ok(());
    }
    Err(Error::Unfaithful {
        path: saved.to_owned(),
        difference,
        allowed,
    })
}

/// Refuses saved weights that are not the ones they were made from, rounded to the type of the file.
pub(crate) fn compare_rounded(
    kept: &[f32],
    found: &[f32],
    (saved, stored): (&Path, StoredType),
) -> Result<(), Error> {
    let pairs = || kept.iter().zip(found);
    let is_same = |(kept, found): (&f32, &f32)| stored.round(*kept).to_bits() == found.to_bits();
    if kept.len() == found.len() && pairs().all(is_same) {
        return Ok(());
    }
    let difference = |(kept, found): (&f32, &f32)| (stored.round(*kept) - found).abs();
    Err(Error::Unfaithful {
        path: saved.to_owned(),
        difference: pairs().map(difference).fold(0.0, f32::max),
        allowed: 0.0,
    })
}
