//! `cargo xtask slow`: the proofs that need a real model, real data and transformers.

mod build;
mod decoders;
mod encoders;
mod hub;
mod proof;
mod texts;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use tempfile::TempDir;

use crate::program;
use decoders::Decoders;
use encoders::Encoders;

/// The largest difference of a logit, or of a row's mean loss, between two implementations in F32.
const TOLERANCE: f64 = 1e-4;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of sentence-transformers/all-MiniLM-L6-v2
    #[arg(
        long,
        value_name = "DIR",
        requires = "data",
        required_unless_present_any = ["build", "decoder", "hub", "large"]
    )]
    model: Option<PathBuf>,
    /// Folder with SNIPS: `intent.train.jsonl`, `intent.valid.jsonl`, `slots.train.jsonl`, `slots.valid.jsonl`
    #[arg(long, value_name = "DIR", requires = "model")]
    data: Option<PathBuf>,
    /// Folder of a small language model, such as karpathy/tinyllamas' stories260K
    #[arg(long, value_name = "DIR", requires = "text")]
    decoder: Option<PathBuf>,
    /// Text to teach it, such as tinyshakespeare
    #[arg(long, value_name = "FILE", requires = "decoder")]
    text: Option<PathBuf>,
    /// Build the release program and check that it holds each GPU kernel once, and its size
    #[arg(long)]
    build: bool,
    /// Train the bundled model on a text of a gigabyte and answer many rows too, some minutes and twice the disk
    #[arg(long)]
    large: bool,
    /// Exchange caches of the Hub with `huggingface_hub`, over an imitated Hub
    #[arg(long)]
    hub: bool,
    /// Python that has what `benches/peers/requirements.txt` lists
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Backend to prove
    #[arg(long, default_value = "flex")]
    backend: String,
    /// A binary to prove [default: the release build, brought up to date]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What all proofs share.
struct Slow<'a> {
    root: &'a Path,
    options: &'a Options,
    rekindle: PathBuf,
    folder: TempDir,
}

/// Runs the proofs that the given models allow, prints a table of them, and fails if one does.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    if let Some(text) = &options.text {
        program::ensure_file(text)?;
    }
    let slow = Slow {
        root,
        options,
        rekindle: program::rekindle(root, options.binary.as_deref())?,
        folder: tempfile::tempdir()?,
    };
    let slow = &slow;
    let mut proofs = Vec::new();
    if let (Some(model), Some(data)) = (&options.model, &options.data) {
        let encoders = Encoders { slow, model, data };
        proofs.extend(encoders.prove()?);
    }
    if let (Some(model), Some(text)) = (&options.decoder, &options.text) {
        let decoders = Decoders { slow, model, text };
        proofs.extend(decoders.prove()?);
    }
    if options.build {
        proofs.extend(build::prove(slow)?);
    }
    if options.large {
        proofs.extend(texts::prove(slow)?);
    }
    if options.hub {
        proofs.extend(hub::prove(slow)?);
    }
    println!("{}", proof::table(&proofs));
    match proofs.iter().filter(|proof| !proof.holds()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} proofs failed", proofs.len()),
    }
}

impl Slow<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rekindle(&self, command: &str) -> Command {
        let mut process = Command::new(&self.rekindle);
        process.args([command, "--backend", &self.options.backend]);
        process
    }

    fn peer(&self, script: &str) -> Command {
        program::peer(self.root, &self.options.python, script)
    }
}
