//! The files of the workspace, without what git ignores.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use ignore::WalkBuilder;

/// A text file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// What follows the last dot of the name, or nothing.
    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, end)| end)
    }
}

/// All text files under `root`, sorted by path; files that are not UTF-8 are left out.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    // Dot files such as the CI script count too, and a tree without git is read alike.
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = entry.context("cannot list the workspace's files")?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            let relative = path.strip_prefix(root).unwrap_or(path);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            sources.push(Source {
                path: parts.join("/"),
                text,
            });
        }
    }
    Ok(sources)
}
