//! `cargo xtask gpu-binary`: one file that trains, proves itself and times itself on an NVIDIA machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::program;

/// What the file may weigh, to be carried to a machine.
const MOST_BYTES: u64 = 60_000_000;

/// Builds it with `flex`, `cuda` and `vulkan`, which need no toolkit here, and strips it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let features = ["--no-default-features", "--features", "flex,cuda,vulkan"];
    let built = program::build(root, &features)?;
    let binary = built.with_file_name("rekindle-gpu");
    fs::copy(built, &binary)?;
    let status = Command::new("strip").arg(&binary).status();
    let status = status.context("cannot start `strip`, which comes with a C compiler")?;
    ensure!(status.success(), "`strip {}` failed", binary.display());
    let bytes = fs::metadata(&binary)?.len();
    println!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6);
    ensure!(
        bytes < MOST_BYTES,
        "it has {bytes} bytes, more than {MOST_BYTES}"
    );
    Ok(())
}
