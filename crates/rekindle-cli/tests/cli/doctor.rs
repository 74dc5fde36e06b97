//! `doctor`, and help.

use crate::place::Place;

#[test]
fn the_doctor_lists_backends_and_what_auto_takes() {
    let called = Place::new().call(&["doctor"]).expect_code(0);
    let version = format!("rekindle {}\n", env!("CARGO_PKG_VERSION"));
    assert!(called.out.starts_with(&version), "{}", called.out);
    let lines: Vec<_> = called.out.lines().collect();
    let built = lines[1].strip_prefix("backends in this build: ").unwrap();
    assert!(built.split(", ").any(|name| name == "flex"), "{built}");
    // A line for each of them, with a device or what was looked for in vain.
    for name in built.split(", ") {
        let beginning = format!("  {name}: ");
        assert!(
            lines.iter().any(|line| line.starts_with(&beginning)),
            "{name}: {lines:?}"
        );
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("  flex: processor, ")),
        "{lines:?}"
    );
    let auto = lines
        .iter()
        .find_map(|line| line.strip_prefix("auto takes "));
    let (backend, reason) = auto.unwrap().split_once(": ").unwrap();
    assert!(built.split(", ").any(|name| name == backend), "{backend}");
    assert!(!reason.is_empty());
}

#[test]
fn help_shows_the_commands_that_work() {
    let called = Place::new().call(&["--help"]).expect_code(0);
    let commands = called
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for command in ["train", "eval", "predict", "doctor"] {
        assert!(commands.contains(&command), "{command} in {commands:?}");
    }
    let help = Place::new().call(&["train", "--help"]).expect_code(0);
    for flag in [
        "--model",
        "--data",
        "--set",
        "--dashboard",
        "--learning-rate-multiplier",
    ] {
        assert!(help.out.contains(flag), "{flag}");
    }
}
