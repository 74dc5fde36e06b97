//! `rekindle doctor`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use rekindle::backend::{NAMES, built, choose, detect};

use crate::args::Doctor;

/// Lists backends and devices, or tests one.
pub(crate) fn run(arguments: &Doctor) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    writeln!(out, "rekindle {}", env!("CARGO_PKG_VERSION"))?;
    let missing: Vec<_> = NAMES
        .into_iter()
        .filter(|name| built().all(|b| b != *name))
        .collect();
    writeln!(
        out,
        "backends in this build: {}",
        built().collect::<Vec<_>>().join(", ")
    )?;
    if !missing.is_empty() {
        writeln!(out, "not in this build: {}", missing.join(", "))?;
    }
    for name in built() {
        match detect(name) {
            Ok(found) => {
                for device in found {
                    writeln!(out, "  {name}: {}", device.device)?;
                }
            }
            Err(error) => writeln!(out, "  {name}: none; {error}")?,
        }
    }
    let auto = choose("auto").map_err(rekindle::Error::from)?;
    writeln!(out, "auto takes {}: {}", auto.found.backend, auto.reason)?;
    let _ = arguments;
    Ok(ExitCode::SUCCESS)
}
