//! What no line may hold: a table of patterns, each with where it applies and why.

use std::sync::LazyLock;

use regex::Regex;

use super::Violation;
use crate::sources::Source;

/// One forbidden pattern.
struct Rule {
    pattern: Regex,
    why: &'static str,
    applies: fn(&Place) -> bool,
    /// Matches that are fine all the same.
    except: &'static [&'static str],
}

fn rule(pattern: &str, why: &'static str, applies: fn(&Place) -> bool) -> Rule {
    Rule {
        pattern: Regex::new(pattern).expect("a test compiles every pattern"),
        why,
        applies,
        except: &[],
    }
}

/// Where a line stands.
struct Place<'a> {
    path: &'a str,
    /// The member of the workspace, by its folder's name.
    member: &'a str,
    /// True for test code, which may do more than a library.
    is_test: bool,
}

impl Place<'_> {
    /// True for code that users run, but for the named members.
    fn is_product_outside(&self, members: &[&str]) -> bool {
        !self.is_test && !members.contains(&self.member)
    }
}

/// What no line of Rust may hold outside comments.
static CODE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(
            r"\b(e?print(ln)?|dbg)!|\bstd(out|err)\(\)",
            "only the CLI and xtask print: return a value, or write to a writer from the CLI",
            |place| place.is_product_outside(&["rekindle-cli", "xtask"]),
        ),
        rule(
            r"\benv::(var|vars|args)(_os)?\b|\benv::(set|remove)_var\b",
            "only the CLI and xtask read the environment, and the hub its `HF_*`",
            |place| place.is_product_outside(&["rekindle-cli", "rekindle-hub", "xtask"]),
        ),
        rule(
            r"\bprocess::(exit|abort)\b",
            "only the CLI and xtask exit: return an error",
            |place| !matches!(place.member, "rekindle-cli" | "xtask"),
        ),
        rule(
            r#"\bfeature\s*=\s*"(flex|ndarray|wgpu|vulkan|metal|cuda|rocm)""#,
            "one file knows which backends are compiled in: crates/rekindle/src/backend.rs",
            |place| place.path != "crates/rekindle/src/backend.rs",
        ),
        rule(
            r"\b(TcpListener|TcpStream|UdpSocket|UnixListener|UnixStream)\b",
            "only hub, dashboard and serve open a socket: libraries take paths",
            |place| {
                place.is_product_outside(&["rekindle-hub", "rekindle-dashboard", "rekindle-serve"])
            },
        ),
        rule(
            r"\.map_err\((\|\w+\| \w+\.to_string\(\)|(ToString|String)::\w+)\)",
            "an error keeps its source: add a variant with `#[source]` or `#[from]`",
            |_| true,
        ),
        rule(
            r"#\[ignore\b",
            "an ignored test proves nothing: make it run, or delete it",
            |_| true,
        ),
        rule(
            r"\bmod (common|utils|helpers|misc)\b",
            "a name says what is inside: split by what the parts do",
            |_| true,
        ),
        rule(
            r"^\s*(pub(\(\w+\))? )?(const |async |unsafe )*fn |^\s*impl\b",
            "`lib.rs` is docs, `mod` and `pub use`, without logic",
            |place| place.path.ends_with("/lib.rs"),
        ),
        rule(
            r#""[^"\s]*\.(weight|bias|gamma|beta)""#,
            "only a model's `weights.rs` knows foreign tensor names",
            |place| {
                !place.is_test
                    && place.path.starts_with("models/")
                    && !place.path.ends_with("/weights.rs")
            },
        ),
    ]
});

/// What no line of any file may hold, comments included.
static ANYWHERE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        Rule {
            except: &["/home/user/", "/home/ada/"],
            ..rule(
                r"/home/\w[\w.-]*/|/Users/\w[\w.-]*/|/root/\w|\b[A-Z]:\\+Users\\",
                "a path of one machine means nothing on another",
                |_| true,
            )
        },
        Rule {
            except: &["registry+https://github.com/rust-lang/crates.io-index"],
            ..rule(
                r"\b(registry|sparse)\+https?://[^\s\x22]+",
                "dependencies come from crates.io",
                |_| true,
            )
        },
        rule(
            r"https?://(10|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d",
            "an address of one network cannot be reached from another",
            |place| !place.is_test,
        ),
        rule(
            r"https?://[\w.-]+\.(internal|local|lan|corp)\b",
            "a host of one network cannot be reached from another",
            |place| !place.is_test,
        ),
    ]
});

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let product_lines = product_lines(source);
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let place = Place {
            path: &source.path,
            member: member(&source.path),
            is_test: index >= product_lines,
        };
        let mut found = search(&ANYWHERE, line, &place);
        if source.extension() == "rs" {
            found.extend(search(&CODE, without_comment(line), &place));
        }
        violations.extend(found.into_iter().map(|(what, why)| Violation {
            path: source.path.clone(),
            line: index + 1,
            what: format!("`{}`", what.trim()),
            why,
        }));
    }
    violations
}

/// The first match of each rule that applies, and why it is wrong.
fn search<'a>(rules: &[Rule], text: &'a str, place: &Place) -> Vec<(&'a str, &'static str)> {
    let rules = rules.iter().filter(|rule| (rule.applies)(place));
    rules
        .filter_map(|rule| {
            let mut matches = rule.pattern.find_iter(text).map(|found| found.as_str());
            let found = matches.find(|found| !rule.except.contains(found))?;
            Some((found, rule.why))
        })
        .collect()
}

/// The name of the folder that holds a member of the workspace, from the path of one of its files.
fn member(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates" | "models" | "datasets") => parts.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

/// The number of lines before the test code; a file's unit tests stand at its end.
fn product_lines(source: &Source) -> usize {
    let is_test_folder = |part| matches!(part, "tests" | "benches" | "examples");
    let in_tests = source.path.split('/').any(is_test_folder) || source.name() == "tests.rs";
    if in_tests || member(&source.path) == "rekindle-testkit" {
        return 0;
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let opens_tests = |start: usize| {
        // Further attributes may stand between the two, on lines that do not start an item.
        let mut items = lines[start + 1..].iter();
        let item = items.find(|line| line.starts_with(char::is_alphabetic));
        lines[start] == "#[cfg(test)]"
            && item.is_some_and(|item| item.starts_with("mod ") && item.ends_with('{'))
    };
    (0..lines.len())
        .find(|&start| opens_tests(start))
        .unwrap_or(lines.len())
}

/// The line up to a `//` that does not stand in a string.
fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let mut previous = ' ';
    for (position, character) in line.char_indices() {
        match character {
            '"' if previous != '\\' && previous != '\'' => in_string = !in_string,
            '/' if previous == '/' && !in_string => return &line[..position - 1],
            _ => {}
        }
        previous = character;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a file of one line.
    fn is_broken(path: &str, line: &str) -> bool {
        let source = Source {
            path: path.to_owned(),
            text: format!("{line}\n"),
        };
        !check(&source).is_empty()
    }

    /// Each line breaks a rule in the first places and breaks none in the others.
    #[track_caller]
    fn assert_rule(line: &str, broken_in: &[&str], fine_in: &[&str]) {
        for path in broken_in {
            assert!(is_broken(path, line), "`{line}` should not pass in {path}");
        }
        for path in fine_in {
            assert!(!is_broken(path, line), "`{line}` should pass in {path}");
        }
    }

    const NN: &str = "crates/rekindle-nn/src/linear.rs";
    const CLI: &str = "crates/rekindle-cli/src/main.rs";
    const HUB: &str = "crates/rekindle-hub/src/resolve.rs";
    const TEST: &str = "crates/rekindle-nn/tests/kernels.rs";
    const XTASK: &str = "xtask/src/ci.rs";
    const FACADE: &str = "crates/rekindle/src/registry.rs";

    #[test]
    fn only_the_cli_and_xtask_print() {
        for line in [
            "println!();",
            "eprint!(\"\");",
            "dbg!(x);",
            "let out = io::stdout();",
        ] {
            assert_rule(line, &[NN, HUB, FACADE], &[CLI, XTASK, TEST]);
        }
        assert_rule("writeln!(out)?;", &[], &[NN]);
    }

    #[test]
    fn only_the_cli_xtask_and_the_hub_read_the_environment() {
        let fine = [CLI, XTASK, HUB, TEST, "crates/rekindle-testkit/src/data.rs"];
        assert_rule("let home = std::env::var(\"HOME\");", &[NN, FACADE], &fine);
        assert_rule("for argument in env::args_os() {", &[NN, FACADE], &fine);
        assert_rule("let root = env!(\"CARGO_MANIFEST_DIR\");", &[], &[NN]);
    }

    #[test]
    fn only_the_cli_and_xtask_exit() {
        assert_rule("std::process::exit(1);", &[NN, HUB, TEST], &[CLI, XTASK]);
    }

    #[test]
    fn one_file_knows_the_backends() {
        let fine = ["crates/rekindle/src/backend.rs"];
        for line in ["#[cfg(feature = \"cuda\")]", "if cfg!(feature=\"wgpu\") {"] {
            assert_rule(line, &[NN, CLI, FACADE, TEST], &fine);
        }
        assert_rule("#[cfg(feature = \"std\")]", &[], &[NN]);
    }

    #[test]
    fn only_hub_dashboard_and_serve_open_a_socket() {
        let fine = [HUB, TEST, "crates/rekindle-serve/src/server.rs"];
        assert_rule("use std::net::TcpListener;", &[NN, CLI, FACADE], &fine);
    }

    #[test]
    fn an_error_keeps_its_source() {
        for line in [
            "read().map_err(|e| e.to_string())?;",
            "read().map_err(|error| error.to_string())",
            "read().map_err(ToString::to_string)",
        ] {
            assert_rule(line, &[NN, CLI, TEST], &[]);
        }
        assert_rule("read().map_err(LoadError::Read)?;", &[], &[NN]);
    }

    #[test]
    fn no_test_is_ignored() {
        assert_rule("#[ignore]", &[NN, TEST], &[]);
        assert_rule("#[ignore = \"slow\"]", &[NN, TEST], &[]);
    }

    #[test]
    fn modules_have_telling_names() {
        assert_rule("pub(crate) mod utils {", &[NN, TEST], &[]);
        assert_rule("mod commonality;", &[], &[NN]);
    }

    #[test]
    fn lib_rs_holds_no_logic() {
        let lib = "crates/rekindle-nn/src/lib.rs";
        for line in [
            "pub fn twice() {}",
            "pub(crate) const fn zero() {}",
            "impl Rows {",
        ] {
            assert_rule(line, &[lib], &[NN]);
        }
        assert_rule("pub use rows::Rows;", &[], &[lib]);
    }

    #[test]
    fn foreign_tensor_names_stay_in_weights_rs() {
        let fine = ["models/rekindle-bert/src/weights.rs", NN];
        let broken = ["models/rekindle-bert/src/model.rs"];
        assert_rule("let name = \"embeddings.LayerNorm.gamma\";", &broken, &fine);
    }

    #[test]
    fn no_file_names_a_machine_or_its_network() {
        let product = ["README.md", ".ci/run", NN];
        for line in [
            "// see /home/ada/x and /home/grace/x",
            "PATH=/root/bin",
            "open(\"/Users/grace/x\")",
            "C:\\Users\\grace",
            "source = \"registry+https://mirror.example/index\"",
        ] {
            assert_rule(line, &product, &[]);
            assert_rule(line, &[TEST], &[]);
        }
        for line in [
            "http://packages.internal/simple",
            "http://192.168.1.4/simple",
        ] {
            assert_rule(line, &product, &[TEST]);
        }
        for line in [
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            "http://localhost:8080/ and https://huggingface.co/",
            "under `$HOME/.cache`, /usr/share/vulkan, /home/user/models",
        ] {
            assert_rule(line, &[], &product);
        }
    }

    #[test]
    fn comments_and_unit_tests_are_not_code() {
        assert_rule("//! println!(\"an example\")", &[], &[NN]);
        assert_rule("let x = 1; // not println!()", &[], &[NN]);
        assert_rule("let url = \"https://x\"; println!();", &[NN], &[]);
        let unit_tests = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    println!();\n}";
        assert_rule(unit_tests, &[], &[NN]);
        let attributed =
            "#[cfg(test)]\n#[expect(\n    dead_code\n)]\nmod tests {\n    println!();\n}";
        assert_rule(attributed, &[], &[NN]);
        assert_rule("#[cfg(test)]\nmod tests;\nprintln!();", &[NN], &[]);
    }

    #[test]
    fn a_violation_names_the_line() {
        let source = Source {
            path: NN.to_owned(),
            text: "//! Linear.\n\nfn f() {\n    println!();\n}\n".to_owned(),
        };
        assert_eq!(
            (check(&source)[0].line, &*check(&source)[0].what),
            (4, "`println!`")
        );
    }
}
