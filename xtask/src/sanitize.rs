//! `cargo xtask sanitize`: the tests of the kernels with every access to memory checked.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::program;

/// Runs them under `AddressSanitizer`, for which rustc's nightly toolchain must be installed; what is built
/// for it lies in a folder of its own.
///
/// The `unsafe` code that deals with memory is there: that which hands it to the crate of matrix products.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    // With a target that is named, the flags are not those of build scripts and macros.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let status = Command::new("cargo")
        .args(["+nightly", "test", "--package", "rekindle-nn"])
        .args(["--lib", "--test", "kernels", "--target", &target])
        .arg("--target-dir")
        .arg(program::target_folder(root)?.join("sanitize"))
        .env("RUSTFLAGS", "-Zsanitizer=address")
        // What is allocated once and kept until the end is no leak.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .env_remove("RUSTUP_TOOLCHAIN")
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "the tests of the kernels failed; `rustup toolchain install nightly` if it is not there"
    );
    Ok(())
}
