//! `cargo xtask gpu-binary`: one file that trains, proves itself and times itself on an NVIDIA machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use cargo_metadata::MetadataCommand;

/// What the file may weigh, to be carried to a machine.
const MOST_BYTES: u64 = 60_000_000;

/// Builds it with `flex`, `cuda` and `vulkan`, which need no toolkit here, and strips it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let build = [
        "build",
        "--release",
        "--package",
        "rekindle-cli",
        "--no-default-features",
        "--features",
        "flex,cuda,vulkan",
    ];
    let status = Command::new("cargo")
        .args(build)
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "`cargo {}` failed", build.join(" "));
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let release = metadata.target_directory.join("release");
    let binary = release.join("rekindle-gpu");
    fs::copy(release.join("rekindle"), &binary)?;
    let status = Command::new("strip").arg(&binary).status();
    let status = status.context("cannot start `strip`, which comes with a C compiler")?;
    ensure!(status.success(), "`strip {binary}` failed");
    let bytes = fs::metadata(&binary)?.len();
    println!("{binary}: {:.1} MB", bytes as f64 / 1e6);
    ensure!(
        bytes < MOST_BYTES,
        "it has {bytes} bytes, more than {MOST_BYTES}"
    );
    Ok(())
}
