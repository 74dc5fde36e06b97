//! Proofs that caches of the Hub are shared with `huggingface_hub`, in both directions.

use anyhow::Context as _;

use super::Slow;
use super::proof::Proof;
use crate::program;

/// The exchanges of `hub_cache.py`, and what each of them shows.
const EXCHANGES: [(&str, &str); 4] = [
    ("ours_offline", "huggingface_hub finds our download offline"),
    ("theirs_offline", "we find its download offline"),
    ("killed", "a killed download is continued, by both"),
    ("both_at_once", "programs at once download weights once"),
];

/// Exchanges caches with `huggingface_hub` over an imitated Hub on this machine.
pub(super) fn prove(slow: &Slow) -> anyhow::Result<Vec<Proof>> {
    eprintln!("==> sharing caches with huggingface_hub");
    let build = [
        "build",
        "--release",
        "--package",
        "rekindle-hub",
        "--example",
        "resolve",
    ];
    program::cargo(slow.root, &build)?;
    let resolve = program::target_folder(slow.root)?.join("release/examples/resolve");
    let mut command = slow.peer("hub_cache.py");
    command.arg("prove").arg("--resolve").arg(resolve);
    let stdout = program::finish(&mut command)?.stdout;
    let found = serde_json::from_str(&stdout).context("what `hub_cache.py` printed")?;
    let proof = |(name, what): (&str, &str)| {
        let works = program::number(&found, &format!("/{name}"))?;
        Ok(Proof::at_least(format!("{what} (1: yes)"), 1.0, works))
    };
    EXCHANGES.into_iter().map(proof).collect()
}
