//! Training steps of a decoder of 12 layers, 512 wide: all weights or adapters, states kept or computed again.

use super::step::{Steps, WARM_UP_STEPS, peer_steps, steps_of};
use super::{Bench, Runs};
use crate::program;

const BATCH_SIZE: usize = 4;
const TOKENS: usize = 512;

const REPEATS: u16 = 3;

const SCRIPT: &str = "decoder.py";

/// What is trained, and what is kept of a forward pass.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    method: &'static str,
    recomputes: bool,
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: "decoder, full",
        method: "full",
        recomputes: false,
    },
    Variant {
        name: "decoder, full, checkpointed",
        method: "full",
        recomputes: true,
    },
    Variant {
        name: "decoder, LoRA",
        method: "lora",
        recomputes: false,
    },
    Variant {
        name: "decoder, LoRA, checkpointed",
        method: "lora",
        recomputes: true,
    },
];

/// Measures each variant; the model and its rows are made by the peer's script.
pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<(Variant, Runs<Steps>)>> {
    let folder = bench.path("decoder");
    let rows = BATCH_SIZE * (WARM_UP_STEPS + usize::from(bench.options.steps));
    let mut make = program::peer(bench.root, &bench.options.python, SCRIPT);
    program::flags(
        &mut make,
        [("--write", &folder), ("--rows", &rows.to_string())],
    );
    program::finish(&mut make)?;
    VARIANTS
        .into_iter()
        .map(|variant| {
            let runs =
                bench.alternate(REPEATS, || ours(bench, variant), || peer(bench, variant))?;
            Ok((variant, runs))
        })
        .collect()
}

fn ours(bench: &Bench, variant: Variant) -> anyhow::Result<Steps> {
    let run = tempfile::tempdir_in(bench.folder.path())?;
    let folder = bench.path("decoder");
    let mut command = bench.train("1");
    let recomputes = format!("model.gradient_checkpointing={}", variant.recomputes);
    program::flags(
        &mut command,
        [
            ("--model", &folder),
            ("--data", &folder.join("rows.jsonl")),
            ("--method", &variant.method),
            ("--batch-size", &BATCH_SIZE.to_string()),
            ("--max-length", &TOKENS.to_string()),
            ("--set", &"data.valid_fraction=0"),
            ("--set", &recomputes),
            ("--set", &"checkpoint.save_every=0"),
            ("--output", &run.path()),
        ],
    );
    let finished = program::finish(&mut command)?;
    steps_of(bench, run.path(), finished, BATCH_SIZE * TOKENS)
}

fn peer(bench: &Bench, variant: Variant) -> anyhow::Result<Steps> {
    let mut command = program::peer(bench.root, &bench.options.python, SCRIPT);
    program::flags(
        &mut command,
        [
            ("--model", &bench.path("decoder")),
            ("--method", &variant.method),
            ("--batch-size", &BATCH_SIZE.to_string()),
            ("--repeats", &bench.options.steps.to_string()),
            ("--threads", &bench.threads),
        ],
    );
    if variant.recomputes {
        command.arg("--checkpointing");
    }
    peer_steps(&mut command)
}
