//! The selftest on every backend of the build that has a device.

use std::env;

use rekindle::backend::{BackendError, built, choose};
use rekindle::selftest;

/// Backends that are others under another name.
const ALIASES: [&str; 2] = ["metal", "vulkan"];

#[test]
fn every_backend_of_the_build_passes_the_selftest() {
    for name in built().filter(|name| !ALIASES.contains(name)) {
        let choice = match choose(name) {
            Ok(choice) => choice,
            Err(error @ BackendError::NoDevice { .. }) if !must_have_device(name) => {
                eprintln!("skipped, not tested: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let begun = std::time::Instant::now();
        let report = selftest::run(&choice);
        let failed: Vec<_> = report.rows.iter().filter(|check| !check.passed()).collect();
        assert!(
            report.passed(),
            "{name} ({}): {failed:#?}",
            choice.found.device
        );
        eprintln!(
            "{name} ({}): {} checks against {} in {:.1} s",
            choice.found.device,
            report.rows.len(),
            report.reference,
            begun.elapsed().as_secs_f64()
        );
    }
}

/// A software adapter does for `wgpu`, so that it is tested wherever this project is.
fn must_have_device(name: &str) -> bool {
    name == "wgpu" && env::var_os("CI").is_some()
}
