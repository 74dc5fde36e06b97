//! `cargo xtask gpu-binary`: one file that trains, proves itself and times itself on an NVIDIA machine.

use std::fs;
use std::path::Path;

use anyhow::ensure;

use crate::program;

/// What the file may weigh, to be carried to a machine.
const MOST_BYTES: u64 = 60_000_000;

/// How it is built: with `flex`, `cuda` and `vulkan`, which need no toolkit here.
const BUILD: [&str; 11] = [
    "rustc",
    "--profile",
    "gpu",
    "--package",
    "rekindle-cli",
    "--bin",
    "rekindle",
    "--no-default-features",
    "--features",
    "flex,cuda,vulkan",
    "--",
];

/// Builds it in the profile `gpu`, and looks at its size.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    // An address that is known needs no entry in a table.
    let mut build = BUILD.to_vec();
    build.push("-Crelocation-model=static");
    // Where rustc links with LLD, functions of the same code become one.
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        build.push("-Clink-arg=-Wl,--icf=all");
    }
    program::cargo(root, &build)?;
    let folder = program::target_folder(root)?.join("gpu");
    let binary = folder.join("rekindle-gpu");
    fs::copy(folder.join("rekindle"), &binary)?;
    let bytes = fs::metadata(&binary)?.len();
    println!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6);
    ensure!(
        bytes < MOST_BYTES,
        "it has {bytes} bytes, more than {MOST_BYTES}"
    );
    Ok(())
}
