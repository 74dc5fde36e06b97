//! Finds the test command that the README gives, so that CI runs what readers are told to run.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// The test command of the workspace's `README.md`.
pub(super) fn test_command(root: &Path) -> anyhow::Result<String> {
    let path = root.join("README.md");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    find(&text).context(
        "no test command in `README.md`: give one in a `console` or `sh` block \
         under a heading that contains `test`",
    )
}

/// The first line with `test` of the first block of commands under a heading with `test`.
fn find(readme: &str) -> Option<String> {
    let mut lines = readme.lines();
    // A comment in a block of commands looks like a heading: blocks are skipped whole.
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            lines.by_ref().find(|line| line.starts_with("```"))?;
        } else if line.starts_with('#') && line.to_lowercase().contains("test") {
            break;
        }
    }
    let is_block = |line: &&str| matches!(line.trim_end(), "```console" | "```sh");
    lines.by_ref().find(is_block)?;
    let mut commands = lines.take_while(|line| !line.starts_with("```"));
    let command = commands.find(|line| line.contains("test"))?;
    let command = command.trim_start_matches("$ ");
    let command = command.split(" #").next().unwrap_or(command);
    Some(command.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_under_the_heading_is_found() {
        let readme = "# Tool\n```console\n# not a heading: test\n$ tool test\n```\n\
                      ## How to test\nText.\n```console\n$ rustc --version\n\
                      $ cargo test --workspace   # all of it\n```\n";
        assert_eq!(find(readme).as_deref(), Some("cargo test --workspace"));
    }

    #[test]
    fn a_block_without_a_prompt_is_read_too() {
        let readme = "## Tests\n\n```sh\ncargo test --workspace\n```\n";
        assert_eq!(find(readme).as_deref(), Some("cargo test --workspace"));
    }

    #[test]
    fn a_missing_command_is_noticed() {
        for readme in [
            "",
            "# Tool\n```sh\ncargo test\n```\n",
            "## Tests\n",
            "## Tests\n```sh\ncargo build\n```\n",
            "## Tests\n```rust\ntest()\n```\n",
        ] {
            assert_eq!(find(readme), None, "{readme}");
        }
    }
}
