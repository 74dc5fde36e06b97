//! What a run was made of: versions, device, seeds and hashes.

use rekindle_train::events::Finish;
use serde_json::json;

use super::Prepared;
use super::inputs::Inputs;
use crate::error::Error;
use crate::hashes::weights;

/// The version of Burn that this is built on; `Cargo.toml` pins it.
pub(super) const BURN: &str = "0.21.0";

/// Writes `receipt.json`.
pub(super) fn write(run: &Prepared, inputs: &Inputs, finish: &Finish) -> Result<(), Error> {
    let Prepared {
        recipe,
        backend,
        folder,
        train,
        valid,
        objective,
        ..
    } = run;
    let receipt = json!({
        "rekindle": env!("CARGO_PKG_VERSION"),
        "burn": BURN,
        "backend": backend.found.backend,
        "device": backend.found.device,
        "seed": recipe.train.seed,
        "task": objective.task(),
        "labels": objective.labels().names(),
        "train_rows": train.len(),
        "valid_rows": valid.len(),
        "data": inputs.data,
        "base": inputs.base,
        "model": weights(&folder.model())?,
        "finish": finish,
    });
    let text = serde_json::to_string_pretty(&receipt).expect("a JSON value has a text");
    folder.replace("receipt.json", format!("{text}\n").as_bytes())
}
