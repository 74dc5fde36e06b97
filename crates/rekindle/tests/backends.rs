//! The selftest on every backend of the build that has a device.

use std::env;
use std::io::{Write, stderr};
use std::time::Instant;

use rekindle::backend::{BackendError, Choice, built, choose};
use rekindle::selftest;

/// Backends that are `wgpu` under another name.
const ALIASES: [&str; 2] = ["metal", "vulkan"];

#[test]
fn every_backend_of_the_build_passes_the_selftest() {
    let mut names = built().filter(|name| !ALIASES.contains(name)).peekable();
    assert!(
        names.peek().is_some(),
        "no backend is in this build: add `--features flex`"
    );
    let failures: Vec<String> = names.flat_map(failures).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a backend fails in; nothing where no device answers and none is demanded.
fn failures(name: &str) -> Vec<String> {
    match choose(name) {
        Ok(choice) => failed_checks(&choice),
        Err(error @ BackendError::NoDevice { .. }) if !must_have_device(name) => {
            tell(&format!("`{name}` is NOT tested: {error}"));
            Vec::new()
        }
        Err(error) => vec![error.to_string()],
    }
}

fn failed_checks(choice: &Choice) -> Vec<String> {
    let begun = Instant::now();
    let report = selftest::run(choice);
    let (name, device) = (choice.found.backend, &choice.found.device);
    let (checks, failed) = (report.rows.len(), report.num_failed());
    let (reference, seconds) = (report.reference, begun.elapsed().as_secs());
    tell(&format!(
        "`{name}` ({device}): {failed} of {checks} checks against {reference} failed, {seconds} s"
    ));
    if !report.has_bf16 {
        tell(&format!(
            "bf16 is NOT tested on `{name}`: it does not compute in it"
        ));
    }
    let failed = report.rows.into_iter().filter(|check| !check.passed());
    failed.map(|check| format!("{name}: {check:?}")).collect()
}

/// A software adapter does for `wgpu`: it is tested wherever the whole project is.
fn must_have_device(name: &str) -> bool {
    name == "wgpu" && env::var_os("CI").is_some()
}

/// Writes past the test harness, which hides what passing tests print.
fn tell(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(stderr(), "{line}");
}
