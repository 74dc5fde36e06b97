//! `cargo xtask gpu-binary`: one file that trains, proves itself and times itself on an NVIDIA machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use cargo_metadata::MetadataCommand;

/// What the file may weigh, to be carried to a machine.
const MOST_BYTES: u64 = 60_000_000;

/// Builds it with `flex`, `cuda` and `vulkan`, which need no toolkit here, in the profile `gpu`.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command
        .args(["rustc", "--profile", "gpu", "--package", "rekindle-cli"])
        .args(["--bin", "rekindle", "--no-default-features"])
        .args(["--features", "flex,cuda,vulkan"]);
    // An address that is known needs no entry in a table. Where rustc links with LLD, functions of the same
    // code become one.
    command.args(["--", "-Crelocation-model=static"]);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        command.arg("-Clink-arg=-Wl,--icf=all");
    }
    let status = command.current_dir(root).status()?;
    ensure!(status.success(), "`cargo rustc --profile gpu` failed");
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let folder = metadata.target_directory.join("gpu");
    let binary = folder.join("rekindle-gpu");
    fs::copy(folder.join("rekindle"), &binary)?;
    let bytes = fs::metadata(&binary)?.len();
    println!("{binary}: {:.1} MB", bytes as f64 / 1e6);
    ensure!(
        bytes < MOST_BYTES,
        "it has {bytes} bytes, more than {MOST_BYTES}"
    );
    Ok(())
}
