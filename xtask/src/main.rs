//! The project's own automation: `cargo xtask --help` lists what it can do.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask is a program: it talks to the terminal"
)]

mod bench;
mod ci;
mod fixtures;
mod gpu_binary;
mod program;
mod sanitize;
mod slow;
mod snips;
mod sources;
mod tidy;
mod transfer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own automation")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check that a change must pass, cheapest first
    Ci,
    /// Check sizes, names, forbidden calls and the dependency graph
    Tidy,
    /// Write the fixtures of the reference scripts anew (needs Python)
    Fixtures {
        /// Only the scripts whose path contains this text
        filter: Option<String>,
    },
    /// Time training: a step of MiniLM's shape, an epoch of SNIPS, the same in torch
    Bench(bench::Options),
    /// Prove at full size: what training reaches, and that transformers agrees (needs Python)
    Slow(slow::Options),
    /// Build one stripped program with the backends `flex`, `cuda` and `vulkan`
    GpuBinary,
    /// Run the kernels' tests under `AddressSanitizer` (needs rustc's nightly toolchain)
    Sanitize,
    /// Measure what the bundled model's pre-training is worth: methods beside each other, over several seeds
    Transfer(transfer::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let root = root()?;
    match task {
        Task::Ci => ci::run(&root),
        Task::Tidy => tidy::run(&root),
        Task::Fixtures { filter } => fixtures::run(&root, filter.as_deref().unwrap_or_default()),
        Task::Bench(options) => bench::run(&root, options),
        Task::Slow(options) => slow::run(&root, options),
        Task::GpuBinary => gpu_binary::run(&root),
        Task::Sanitize => sanitize::run(&root),
        Task::Transfer(options) => transfer::run(&root, options),
    }
}

/// The workspace's folder, from wherever cargo was called.
///
/// Asked at run time: a shared target folder may hold the binary of another checkout.
fn root() -> anyhow::Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let folder = Path::new(&own).parent();
    Ok(folder.context("xtask lies in the workspace")?.to_owned())
}
