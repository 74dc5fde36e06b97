//! Programs that `bench` and `slow` run: our own release binary, and Python scripts of peers.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::MetadataCommand;
use jiff::Timestamp;
use serde_json::Value;

/// How often a program's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a program printed and what it took.
pub(crate) struct Finished {
    pub(crate) stdout: String,
    /// When it was started.
    pub(crate) begun: Timestamp,
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// Its highest resident memory, where the system tells.
    pub(crate) peak_bytes: Option<f64>,
}

/// Runs a program to its end; its complaints go to the terminal.
pub(crate) fn finish(command: &mut Command) -> anyhow::Result<Finished> {
    let name = command.get_program().display().to_string();
    let (begun, clock) = (Timestamp::now(), Instant::now());
    let child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let process = child.id();
    let looking = thread::spawn(move || watch(process));
    let output = child.wait_with_output()?;
    let seconds = clock.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("`{name}` failed: {}", output.status);
    }
    Ok(Finished {
        stdout: String::from_utf8(output.stdout)
            .with_context(|| format!("what `{name}` printed"))?,
        begun,
        seconds,
        peak_bytes: looking.join().ok().flatten(),
    })
}

/// The last high-water mark of a process's memory before it ends; nothing without Linux's `/proc`.
fn watch(process: u32) -> Option<f64> {
    let status = PathBuf::from(format!("/proc/{process}/status"));
    let mut peak = None;
    while let Some(bytes) = fs::read_to_string(&status)
        .ok()
        .as_deref()
        .and_then(high_water_mark)
    {
        peak = Some(bytes);
        thread::sleep(LOOK_EVERY);
    }
    peak
}

fn high_water_mark(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The release binary: the given one, or one that cargo brings up to date first.
pub(crate) fn rekindle(root: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(binary) = given {
        ensure_file(binary)?;
        return Ok(binary.to_owned());
    }
    let build = ["build", "--release", "--package", "rekindle-cli"];
    cargo(root, &build)?;
    Ok(target_folder(root)?.join("release/rekindle"))
}

/// Fails before anything is done with what is no file.
pub(crate) fn ensure_file(path: &Path) -> anyhow::Result<()> {
    ensure!(path.is_file(), "`{}` is not a file", path.display());
    Ok(())
}

/// Runs cargo with these arguments.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> anyhow::Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    Ok(metadata.target_directory.into())
}

/// A script of `benches/peers` that needs no network.
pub(crate) fn peer(root: &Path, python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command
        .arg(root.join("benches/peers").join(script))
        .env("HF_HUB_OFFLINE", "1");
    command
}

/// Adds `--name value` pairs.
pub(crate) fn flags<const N: usize>(command: &mut Command, pairs: [(&str, &dyn AsRef<OsStr>); N]) {
    for (name, value) in pairs {
        command.arg(name).arg(value);
    }
}

/// A file of JSON objects, one per line.
pub(crate) fn read_lines(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse_lines(&text).with_context(|| format!("`{}`", path.display()))
}

/// JSON objects, one per line.
pub(crate) fn parse_lines(text: &str) -> anyhow::Result<Vec<Value>> {
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// A number inside an object; the path is written as `/a/b`.
pub(crate) fn number(object: &Value, path: &str) -> anyhow::Result<f64> {
    let value = object.pointer(path).and_then(Value::as_f64);
    value.with_context(|| format!("no number at `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_timed_and_its_output_kept() {
        let finished = finish(Command::new("sh").args(["-c", "echo done"])).unwrap();
        assert_eq!(finished.stdout, "done\n");
        assert!(finished.seconds > 0.0);
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        let outcome = finish(Command::new("sh").args(["-c", "exit 3"]));
        let error = outcome.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("`sh` failed: exit status: 3"));
    }

    #[test]
    fn the_high_water_mark_is_read_in_bytes() {
        let status = "Name:\tsh\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(high_water_mark(status), Some(2_097_152.0));
        assert_eq!(high_water_mark("Name:\tsh\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn numbers_are_found_by_their_path() {
        let object = serde_json::json!({"metrics": {"accuracy": 0.5}});
        assert_eq!(number(&object, "/metrics/accuracy").unwrap(), 0.5);
        let error = number(&object, "/metrics/f1").unwrap_err().to_string();
        assert_eq!(error, "no number at `/metrics/f1`");
    }
}
