//! Resolves a model as all commands do, and prints its folder: `cargo run -p rekindle-hub --example resolve -- ID`.
//!
//! The environment says where: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and their relatives. The size of each file
//! that is downloaded, and what of it was there before, goes to standard error.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example is a program"
)]

use std::error::Error;
use std::process::ExitCode;

use rekindle_hub::{HubOptions, Progress, resolve};

struct Lines;

impl Progress for Lines {
    fn start(&mut self, file: &str, bytes: u64) {
        eprintln!("{file}: {bytes} bytes");
    }

    fn resume(&mut self, bytes: u64) {
        eprintln!("  {bytes} of them were there");
    }

    fn advance(&mut self, _bytes: u64) {}

    fn finish(&mut self) {}
}

fn main() -> ExitCode {
    let Some(model) = std::env::args().nth(1) else {
        eprintln!("usage: resolve FOLDER|ORG/NAME[@REVISION]");
        return ExitCode::from(2);
    };
    match resolve(&model, &HubOptions::from_env(), &mut Lines) {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  caused by: {cause}");
                source = cause.source();
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
