//! Sizes and names of files, and their first line.

use super::Violation;
use crate::sources::Source;

const FORBIDDEN_NAMES: [&str; 4] = ["common", "utils", "helpers", "misc"];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line, what, why| {
        violations.push(Violation {
            path: source.path.clone(),
            line,
            what,
            why,
        });
    };
    if let Some((limit, why)) = size_limit(source) {
        let lines = source.text.lines().count();
        if lines > limit {
            report(limit + 1, format!("{lines} lines, at most {limit}"), why);
        }
    }
    if let Some(name) = forbidden_name(&source.path) {
        let why = "a name says what is inside: split by what the parts do";
        report(1, format!("named `{name}`"), why);
    }
    if source.extension() == "rs" && !source.text.starts_with("//!") {
        let why = "every file opens with what it is for";
        report(1, "no `//!` in the first line".to_owned(), why);
    }
    violations
}

/// The most lines that a file may have, and why.
fn size_limit(source: &Source) -> Option<(usize, &'static str)> {
    let is_in = |folder: &str| source.path.split('/').any(|part| part == folder);
    match (source.name(), source.extension()) {
        ("lib.rs", _) => Some((100, "`lib.rs` is docs, `mod` and `pub use`")),
        ("model.rs", _) if is_in("models") => Some((500, "a model is read in one sitting")),
        (_, "rs") => Some((600, "a file is read in one sitting")),
        (_, "toml") if is_in("recipes") => {
            Some((60, "a recipe states what differs from the defaults"))
        }
        _ => None,
    }
}

fn forbidden_name(path: &str) -> Option<&str> {
    path.split('/').find(|part| {
        let stem = part.split('.').next().unwrap_or(part);
        FORBIDDEN_NAMES.contains(&stem.strip_prefix("rekindle-").unwrap_or(stem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, lines: usize) -> Vec<String> {
        let source = Source {
            path: path.to_owned(),
            text: "//! A line.\n".repeat(lines),
        };
        let violations = check(&source).into_iter();
        violations
            .map(|v| format!("{}: {}", v.line, v.what))
            .collect()
    }

    #[test]
    fn each_kind_of_file_has_its_limit() {
        for (path, limit) in [
            ("crates/rekindle-nn/src/lib.rs", 100),
            ("models/rekindle-bert/src/model.rs", 500),
            ("crates/rekindle-nn/src/model.rs", 600),
            ("models/rekindle-bert/tests/model/parity.rs", 600),
            ("crates/rekindle/recipes/tiny.toml", 60),
        ] {
            assert_eq!(found(path, limit), [""; 0], "{path}");
            let expected = format!("{}: {} lines, at most {limit}", limit + 1, limit + 1);
            assert_eq!(found(path, limit + 1), [expected], "{path}");
        }
        assert_eq!(found("Cargo.lock", 9000), [""; 0]);
    }

    #[test]
    fn files_folders_and_crates_need_telling_names() {
        for path in [
            "crates/rekindle-nn/src/utils.rs",
            "crates/rekindle/tests/common/setup.rs",
            "crates/rekindle-misc/src/lib.rs",
            "benches/helpers.py",
        ] {
            assert_eq!(found(path, 1).len(), 1, "{path}");
        }
        assert_eq!(found("crates/rekindle-nn/src/commonality.rs", 1), [""; 0]);
    }

    #[test]
    fn a_rust_file_opens_with_its_purpose() {
        let source = Source {
            path: "xtask/src/ci.rs".to_owned(),
            text: "use std::fs;\n\n//! Too late.\n".to_owned(),
        };
        assert_eq!(check(&source)[0].what, "no `//!` in the first line");
    }
}
