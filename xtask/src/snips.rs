//! The rows of SNIPS that `bench` and `slow` train on.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Rows of a training file.
pub(crate) const TRAIN_ROWS: usize = 2000;

/// Draws [`TRAIN_ROWS`] rows of a file as `shuf --random-source=<(yes 42) -n 2000` does.
pub(crate) fn sample(from: &Path, to: &Path) -> anyhow::Result<()> {
    let from_text =
        fs::read_to_string(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    let rows = from_text.lines().count();
    ensure!(
        rows >= TRAIN_ROWS,
        "`{}` has {rows} rows, and {TRAIN_ROWS} are drawn",
        from.display()
    );
    // `shuf` stops with an error where these bytes run out; a draw takes two or three.
    let source = to.with_extension("random");
    fs::write(&source, "42\n".repeat(3 * rows))?;
    let status = Command::new("shuf")
        .arg("--random-source")
        .arg(&source)
        .args(["-n", &TRAIN_ROWS.to_string()])
        .arg(from)
        .stdout(File::create(to)?)
        .status()
        .context("cannot start `shuf` of GNU coreutils")?;
    ensure!(status.success(), "`shuf` failed: {status}");
    Ok(())
}

/// Takes rows from all over a file, so that every class of a sorted one is met.
pub(crate) fn spread(from: &Path, count: usize, to: &Path) -> anyhow::Result<()> {
    let text =
        fs::read_to_string(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    let rows: Vec<&str> = text.lines().collect();
    ensure!(
        rows.len() >= count,
        "`{}` has {} rows, and {count} are taken",
        from.display(),
        rows.len()
    );
    let taken: Vec<&str> = (0..count)
        .map(|index| rows[index * rows.len() / count])
        .collect();
    Ok(fs::write(to, taken.join("\n"))?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;

    use super::*;

    /// A file of numbers, one per line.
    fn numbers(folder: &Path, count: usize) -> PathBuf {
        let path = folder.join("numbers");
        let lines: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    #[test]
    fn a_sample_has_distinct_rows_and_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let from = numbers(folder.path(), 3000);
        let draw = |name: &str| {
            let to = folder.path().join(name);
            sample(&from, &to).unwrap();
            fs::read_to_string(to).unwrap()
        };
        let drawn = draw("first");
        assert_eq!(drawn, draw("second"));
        assert_eq!(drawn.lines().collect::<HashSet<_>>().len(), TRAIN_ROWS);
        let error = sample(&numbers(folder.path(), 10), &folder.path().join("x")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("has 10 rows, and 2000 are drawn")
        );
    }

    #[test]
    fn spread_rows_come_from_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("spread");
        spread(&numbers(folder.path(), 10), 4, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "0\n2\n5\n7");
        assert!(spread(&numbers(folder.path(), 3), 4, &to).is_err());
    }
}
