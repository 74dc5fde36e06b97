//! `rekindle doctor`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use rekindle::backend::{Choice, NAMES, built, choose, detect};
use rekindle::selftest::{self, Report};

use crate::args::Doctor;
use crate::failure::FAILED;
use crate::verify;

/// Lists backends and devices, or tests one.
pub(crate) fn run(arguments: &Doctor) -> Result<ExitCode> {
    if let Some(recipe) = &arguments.verify_resume {
        return verify::run(recipe, arguments.kills);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "rekindle {}", env!("CARGO_PKG_VERSION"))?;
    if arguments.selftest {
        let choice = choose(&arguments.backend).map_err(rekindle::Error::from)?;
        return test(&choice, &mut out);
    }
    list(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write) -> Result<()> {
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
    Ok(())
}

fn test(choice: &Choice, out: &mut impl Write) -> Result<ExitCode> {
    let (backend, device) = (choice.found.backend, &choice.found.device);
    // A GPU compiles its kernels first: the line stands there while it does.
    writeln!(out, "selftest of {backend} ({device}): {}", choice.reason)?;
    out.flush()?;
    let report = selftest::run(choice);
    table(&report, out)?;
    let (count, failed) = (report.rows.len(), report.num_failed());
    if report.passed() {
        writeln!(
            out,
            "selftest passed: {count} checks on {backend} ({device})"
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "selftest FAILED: {failed} of {count} checks on {backend} ({device})"
    )?;
    Ok(ExitCode::from(FAILED))
}

fn table(report: &Report, out: &mut impl Write) -> Result<()> {
    writeln!(out, "compared with {}", report.reference)?;
    if report.has_bf16 {
        writeln!(out, "bf16 compared with f32 stored from torch")?;
    } else {
        writeln!(out, "bf16 not tested: this device does not compute in it")?;
    }
    writeln!(
        out,
        "\n{:<32} {:<9} {:>9} {:>9}",
        "check", "of", "deviation", "tolerance"
    )?;
    for check in &report.rows {
        let verdict = match &check.failure {
            None => "ok".to_owned(),
            Some(failure) => format!("FAILED: {failure}"),
        };
        let deviation = match check.deviation {
            0.0 => "0".to_owned(),
            nothing if nothing.is_nan() => "-".to_owned(),
            deviation => format!("{deviation:.1e}"),
        };
        writeln!(
            out,
            "{:<32} {:<9} {deviation:>9} {:>9.0e}  {verdict}",
            check.name, check.what, check.tolerance
        )?;
    }
    writeln!(out)?;
    Ok(())
}
