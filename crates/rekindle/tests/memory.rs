//! What a run holds in memory from step to step, to the byte.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::Path;

use dhat::{Alloc, HeapStats, Profiler};
use rekindle::bundled::Places;
use rekindle::events::Event;
use rekindle::hub::{HubOptions, TransferOptions};
use rekindle::recipe::{Every, Recipe};
use rekindle::train::prepare;
use serde_json::json;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

const BASE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/rekindle-bert/tests/fixtures/minilm-headless"
);

const TOKENIZER: &str = include_str!("../../rekindle-cli/tests/cli/tokenizer.json");

/// Steps of the run.
const STEPS: usize = 400;

/// Bytes that a step may leave: a run remembers its losses and evaluations, of which its report is made. The
/// gradient of the smallest weight matrix of the model has twice as many.
const MOST_BYTES: usize = 512;

#[test]
fn training_holds_no_more_after_many_steps_than_after_few() {
    let folder = TempDir::new().unwrap();
    let hub = HubOptions {
        cache: folder.path().join("hub"),
        endpoint: String::new(),
        offline: true,
        token: None,
        transfer: TransferOptions::default(),
    };
    let places = Places {
        hub: &hub,
        cache: &folder.path().join("cache"),
        bundle: &[],
    };
    let _profiler = Profiler::builder().testing().build();
    let prepared = prepare(recipe(folder.path()), None, places, &mut ()).unwrap();
    let mut held = Vec::with_capacity(STEPS);
    let mut count = |event| {
        if let Event::Step(_) = event {
            held.push(HeapStats::get().curr_bytes);
        }
    };
    prepared.run(&mut count, &(), None).unwrap();
    assert_eq!(held.len(), STEPS);
    let (early, late) = (held[STEPS / 4], held[STEPS - 1]);
    let steps = STEPS - 1 - STEPS / 4;
    assert!(
        late <= early + steps * MOST_BYTES,
        "{early} bytes after a quarter of the steps, {late} after all of them"
    );
}

/// A run with evaluations and checkpoints on ten reviews of each kind.
fn recipe(folder: &Path) -> Recipe {
    let base = folder.join("base");
    fs::create_dir(&base).unwrap();
    for file in fs::read_dir(BASE).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), base.join(file.file_name())).unwrap();
    }
    fs::write(base.join("tokenizer.json"), TOKENIZER).unwrap();
    let mut rows = String::new();
    for row in 0..20 {
        let (more, label) = (" very".repeat(row % 4), ["good", "bad"][row % 2]);
        let row = json!({"text": format!("the film was{more} {label}"), "label": label});
        rows += &format!("{row}\n");
    }
    let data = folder.join("train.jsonl");
    fs::write(&data, rows).unwrap();
    let mut recipe = Recipe::default();
    recipe.model.base = base.display().to_string();
    recipe.data.train = vec![data];
    recipe.train.batch_size = 4;
    recipe.train.max_steps = STEPS;
    recipe.train.evaluate_every = Every::Steps(25);
    recipe.checkpoint.save_every = Every::Steps(50);
    recipe.run.backend = "flex".into();
    recipe.run.output = folder.join("run").display().to_string();
    recipe
}
