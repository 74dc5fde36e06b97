//! Counts the tests in what `cargo test` prints.

use std::fmt;

/// Tests that passed and failed so far.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    passed: usize,
    failed: usize,
}

impl Totals {
    /// Adds the line that ends a test binary's output; other lines count nothing.
    pub(super) fn read(&mut self, line: &str) {
        if !line.starts_with("test result: ") {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = |name: &str| -> usize {
            let mut pairs = words.windows(2);
            let pair = pairs.find(|pair| pair[1] == name);
            pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
        };
        self.passed += count("passed;");
        self.failed += count("failed;");
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_summed() {
        let mut totals = Totals::default();
        for line in [
            "running 12 tests",
            "test the_test_result_is_kept ... ok",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            totals.read(line);
        }
        assert_eq!(totals.to_string(), "15 passed, 2 failed");
    }
}
