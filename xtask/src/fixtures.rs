//! `cargo xtask fixtures`: runs the reference scripts that write the numbers tests compare with.
//!
//! A script is named `reference.py` or `…_reference.py`, writes its fixtures beside itself, and
//! pins what it needs in a header as of PEP 723 (inline script metadata).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::program;
use crate::sources::{self, Source};

/// Runs the scripts whose path contains `filter`, in one virtual environment under `target`.
pub(crate) fn run(root: &Path, filter: &str) -> anyhow::Result<()> {
    let sources = sources::read(root)?.into_iter();
    let scripts: Vec<Source> = sources
        .filter(|source| is_reference(source.name()) && source.path.contains(filter))
        .collect();
    ensure!(
        !scripts.is_empty(),
        "no reference script has `{filter}` in its path"
    );

    let environment = program::target_folder(root)?.join("venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        call(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
    }
    for script in scripts {
        println!("==> {}", script.path);
        let requirements =
            requirements(&script.text).with_context(|| format!("header of `{}`", script.path))?;
        let install = ["-m", "pip", "install", "--quiet"];
        call(Command::new(&python).args(install).args(requirements))?;
        call(Command::new(&python).arg(root.join(&script.path)))?;
    }
    Ok(())
}

fn is_reference(name: &str) -> bool {
    name == "reference.py" || name.ends_with("_reference.py")
}

fn call(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` failed: {status}", command.get_program().display());
    }
    Ok(())
}

#[derive(Deserialize)]
struct Header {
    dependencies: Vec<String>,
}

/// The pinned packages of a script's header.
fn requirements(script: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = script.lines();
    lines
        .find(|line| *line == "# /// script")
        .context("no line `# /// script`")?;
    let header: Vec<&str> = lines
        .take_while(|line| *line != "# ///")
        .map(|line| line.trim_start_matches('#').trim_start())
        .collect();
    let header: Header = toml::from_str(&header.join("\n"))?;
    if let Some(loose) = header.dependencies.iter().find(|name| !name.contains("==")) {
        bail!("`{loose}` is not pinned with `==`");
    }
    Ok(header.dependencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_gives_the_pinned_packages() {
        let script = "#!/usr/bin/env python3\n# /// script\n# requires-python = \">=3.11\"\n\
                      # dependencies = [\n#     \"numpy==2.4.6\",\n#     \"scipy==1.17.1\",\n# ]\n\
                      # ///\nimport numpy\n";
        assert_eq!(
            requirements(script).unwrap(),
            ["numpy==2.4.6", "scipy==1.17.1"]
        );
    }

    #[test]
    fn a_loose_or_missing_header_is_refused() {
        let loose = "# /// script\n# dependencies = [\"numpy>=2\"]\n# ///\n";
        let error = requirements(loose).unwrap_err().to_string();
        assert_eq!(error, "`numpy>=2` is not pinned with `==`");
        assert!(requirements("import numpy\n").is_err());
    }

    #[test]
    fn reference_scripts_are_known_by_name() {
        assert!(is_reference("reference.py") && is_reference("metrics_reference.py"));
        assert!(!is_reference("train.py") && !is_reference("preference.py"));
    }
}
