//! `cargo xtask ci`: every check that a change must pass, cheapest first.

mod readme;
mod totals;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::tidy;
use totals::Totals;

/// One check.
enum Step {
    Tidy,
    /// The command by which the README tells how to test.
    Readme,
    /// A command, its words separated by spaces.
    Run(&'static str),
    /// The same with warnings of rustdoc as errors.
    Document(&'static str),
    /// The same with Burn's operations in place of our kernels.
    Composed(&'static str),
}

/// The checks in their order; the first that fails is the last that runs.
///
/// Linting with all features type-checks every backend: `cuda`, `rocm` and `metal` do so on a Linux
/// machine that has none of them, since Burn 0.21 binds their libraries at run time. The tests run on
/// each backend that finds a device, a software Vulkan adapter included.
const STEPS: [Step; 7] = [
    Step::Run("cargo fmt --all --check"),
    Step::Tidy,
    Step::Run("cargo clippy --workspace --all-targets --all-features -- -D warnings"),
    Step::Document("cargo doc --workspace --no-deps --all-features"),
    Step::Run("cargo check -p rekindle-cli --no-default-features --features flex"),
    Step::Readme,
    // Of the whole workspace, so that nothing is built with other features.
    Step::Composed("cargo test --workspace --test model -- adapters:: laws:: parity::"),
];

/// Runs the steps, streams what they print, and ends with the number of tests.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut totals = Totals::default();
    let outcome = STEPS
        .iter()
        .try_for_each(|step| step.run(root, &mut totals));
    println!("\n==> {:.0} s in all", start.elapsed().as_secs_f64());
    println!("{totals}");
    outcome
}

impl Step {
    fn run(&self, root: &Path, totals: &mut Totals) -> anyhow::Result<()> {
        let command = match self {
            Self::Tidy => "cargo xtask tidy".to_owned(),
            Self::Readme => readme::test_command(root)?,
            Self::Run(command) | Self::Document(command) | Self::Composed(command) => {
                (*command).to_owned()
            }
        };
        println!("\n==> {command}");
        let start = Instant::now();
        match self {
            Self::Tidy => tidy::run(root)?,
            Self::Document(_) => {
                execute(&command, &[("RUSTDOCFLAGS", "-D warnings")], root, totals)?;
            }
            Self::Composed(_) => {
                execute(&command, &[("REKINDLE_KERNELS", "off")], root, totals)?;
            }
            Self::Readme | Self::Run(_) => execute(&command, &[], root, totals)?,
        }
        println!("==> {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Runs a command, passes its output on line by line and counts the tests in it.
fn execute(
    command: &str,
    variables: &[(&str, &str)],
    root: &Path,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let mut words = command.split_whitespace();
    let mut child = Command::new(words.next().context("an empty command")?)
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{command}`"))?;
    let output = child.stdout.take().context("the output is piped")?;
    let mut terminal = io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        totals.read(&String::from_utf8_lossy(&line));
        terminal.write_all(&line)?;
        terminal.write_all(b"\n")?;
    }
    drop(terminal);
    let status = child.wait()?;
    if !status.success() {
        bail!("`{command}` failed: {status}");
    }
    Ok(())
}
