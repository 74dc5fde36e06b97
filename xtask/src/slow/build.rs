//! The release program: every GPU kernel once, and a bound on its size.
//!
//! At release levels rustc compiles a generic function again in each crate that calls it. A public generic
//! function that reaches a backend doubles all kernels that way (ARCHITECTURE.md).

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use cargo_metadata::Message;
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use rustc_demangle::demangle;

use super::Slow;
use super::proof::Proof;
use crate::program;

/// The size of the stripped program is at most this, in megabytes.
const MOST_MEGABYTES: f64 = 72.0;

/// Crates that generate GPU kernels begin with one of these.
const KERNEL_CRATES: [&str; 2] = ["cubecl_", "cubek_"];

const BUILD: [&str; 6] = [
    "rustc",
    "--release",
    "--package",
    "rekindle-cli",
    "--bin",
    "rekindle",
];

/// Builds the program with symbols and compares its kernels with those of the libraries in it; then without.
pub(super) fn prove(slow: &Slow<'_>) -> anyhow::Result<Vec<Proof>> {
    let built = Built::with_symbols(slow.root)?;
    let mut compiled = Kernels::default();
    for library in &built.libraries {
        compiled.add_library(library)?;
    }
    let mut linked = Kernels::default();
    linked.add_object(&fs::read(&built.program)?)?;
    ensure!(
        !linked.0.is_empty(),
        "no kernels in `{}`: it has no GPU backend, or no symbols",
        built.program.display()
    );
    program::cargo(slow.root, &BUILD)?;
    let megabytes = fs::metadata(&built.program)?.len() as f64 / 1e6;
    Ok(vec![
        Proof::at_most(
            "release program: kernel functions that the command line compiles again".to_owned(),
            0.0,
            linked.beyond(&compiled) as f64,
        ),
        Proof::at_most(
            "release program: megabytes, stripped".to_owned(),
            MOST_MEGABYTES,
            megabytes,
        ),
    ])
}

/// Files that cargo made.
#[derive(Default)]
struct Built {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Built {
    fn with_symbols(root: &Path) -> anyhow::Result<Self> {
        let output = Command::new("cargo")
            .args(BUILD)
            .args([
                "--message-format=json-render-diagnostics",
                "--",
                "-Cstrip=none",
            ])
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            output.status.success(),
            "`cargo {}` failed",
            BUILD.join(" ")
        );
        let mut built = Self::default();
        for message in Message::parse_stream(Cursor::new(output.stdout)) {
            let Message::CompilerArtifact(artifact) = message? else {
                continue;
            };
            let files = artifact.filenames.into_iter().map(PathBuf::from);
            built
                .libraries
                .extend(files.filter(|file| file.extension().is_some_and(|it| it == "rlib")));
            if let Some(program) = artifact.executable
                && artifact.target.name == "rekindle"
            {
                built.program = program.into();
            }
        }
        Ok(built)
    }
}

/// How many functions there are of each kernel, by name without hash: the hash tells copies apart as it does types.
#[derive(Debug, Default)]
struct Kernels(HashMap<String, usize>);

impl Kernels {
    /// Adds the object files of a static library.
    fn add_library(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = fs::read(path)?;
        let context = || format!("cannot read `{}`", path.display());
        let archive = ArchiveFile::parse(&*bytes).with_context(context)?;
        for member in archive.members() {
            let member = member.with_context(context)?;
            // The compiler's metadata lies among the object files.
            if member.name().ends_with(b".o") {
                self.add_object(member.data(&*bytes).with_context(context)?)?;
            }
        }
        Ok(())
    }

    /// Adds the functions of an object file or program.
    fn add_object(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let file = object::File::parse(bytes)?;
        let functions = file
            .symbols()
            .filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text);
        for name in functions
            .filter_map(|symbol| symbol.name().ok().map(kernel_name))
            .flatten()
        {
            *self.0.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Returns the number of functions that are here and not in `others`.
    fn beyond(&self, others: &Self) -> usize {
        let known = |name: &String| others.0.get(name).copied().unwrap_or(0);
        let beyond = self
            .0
            .iter()
            .map(|(name, count)| count.saturating_sub(known(name)));
        beyond.sum()
    }
}

/// The name of a function without its hash, if it belongs to a crate that generates kernels.
fn kernel_name(symbol: &str) -> Option<String> {
    // A function that LLVM took out of its module has a suffix.
    let symbol = symbol.split(".llvm.").next().unwrap_or(symbol);
    let name = format!("{:#}", demangle(symbol));
    let path = name.trim_start_matches(['<', '&']);
    KERNEL_CRATES
        .iter()
        .any(|start| path.starts_with(start))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(symbols: &[&str]) -> Kernels {
        let mut kernels = Kernels::default();
        for name in symbols.iter().filter_map(|symbol| kernel_name(symbol)) {
            *kernels.0.entry(name).or_default() += 1;
        }
        kernels
    }

    const ONCE: &str = "_ZN12cubek_matmul6launch17h0123456789abcdefE";
    const AGAIN: &str = "_ZN12cubek_matmul6launch17hfedcba9876543210E.llvm.42";

    #[test]
    fn counts_a_kernel_that_is_compiled_again() {
        let compiled = kernels(&[ONCE]);
        assert_eq!(kernels(&[ONCE]).beyond(&compiled), 0);
        assert_eq!(kernels(&[ONCE, AGAIN]).beyond(&compiled), 1);
    }

    #[test]
    fn ignores_functions_that_are_no_kernels() {
        assert_eq!(kernel_name("_ZN4core3fmt5write17h0123456789abcdefE"), None);
        assert_eq!(kernel_name(ONCE).as_deref(), Some("cubek_matmul::launch"));
    }
}
