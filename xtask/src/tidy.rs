//! `cargo xtask tidy`: the invariants that no compiler checks.

mod graph;
mod shape;
mod text;

use std::fmt;
use std::path::Path;

use anyhow::bail;

use crate::sources::{self, Source};

/// A broken invariant: where, what, and why it is one.
#[derive(Debug, PartialEq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
    why: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            what,
            why,
        } = self;
        write!(f, "{path}:{line}: {what}; {why}")
    }
}

/// Prints every violation and fails if there is one.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let sources = sources::read(root)?;
    let mut violations: Vec<Violation> = sources.iter().flat_map(check).collect();
    violations.extend(graph::check(&graph::members(root)?));
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: {} files are in order", sources.len());
            Ok(())
        }
        1 => bail!("1 invariant is broken"),
        many => bail!("{many} invariants are broken"),
    }
}

fn check(source: &Source) -> Vec<Violation> {
    let mut violations = shape::check(source);
    // The rules themselves and the examples in their tests hold what they forbid.
    if !source.path.starts_with("xtask/src/tidy/") {
        violations.extend(text::check(source));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_file_line_what_and_why() {
        let violation = Violation {
            path: "crates/rekindle-nn/src/linear.rs".to_owned(),
            line: 7,
            what: "`println!`".to_owned(),
            why: "libraries do not print",
        };
        assert_eq!(
            violation.to_string(),
            "crates/rekindle-nn/src/linear.rs:7: `println!`; libraries do not print"
        );
    }
}
