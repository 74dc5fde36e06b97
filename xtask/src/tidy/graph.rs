//! Who may depend on whom: the workspace's own graph, and crates that only some members may use.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use super::Violation;

/// A member of the workspace, or every member under a folder, and what it may depend on.
///
/// Dev-dependencies are free: a model's tests may use the test kit, which knows the trainer.
const GRAPH: [(&str, &[&str]); 15] = [
    ("rekindle-nn", &[]),
    ("rekindle-data", &[]),
    ("rekindle-hub", &[]),
    ("rekindle-checkpoint", &[]),
    ("rekindle-generate", &["rekindle-nn", "rekindle-data"]),
    ("rekindle-train", &["rekindle-nn", "rekindle-data"]),
    ("rekindle-dashboard", &["rekindle-train"]),
    (
        "rekindle-serve",
        &[
            "rekindle-nn",
            "rekindle-data",
            "rekindle-train",
            "rekindle-hub",
        ],
    ),
    ("models/", &["rekindle-nn"]),
    ("datasets/", &["rekindle-data"]),
    (
        "rekindle",
        &[
            "rekindle-nn",
            "rekindle-data",
            "rekindle-hub",
            "rekindle-checkpoint",
            "rekindle-generate",
            "rekindle-train",
            "rekindle-dashboard",
            "rekindle-serve",
            "models/",
            "datasets/",
        ],
    ),
    ("rekindle-bundled", &[]),
    ("rekindle-cli", &["rekindle", "rekindle-bundled"]),
    (
        "rekindle-testkit",
        &[
            "rekindle-nn",
            "rekindle-data",
            "rekindle-hub",
            "rekindle-train",
        ],
    ),
    ("xtask", &[]),
];

/// Crates from outside that only the named members may use.
const RESERVED: [(&str, &[&str], &str); 7] = [
    (
        "anyhow",
        &["rekindle-cli", "xtask"],
        "libraries have error enums",
    ),
    (
        "clap",
        &["rekindle-cli", "xtask"],
        "only the CLI and xtask parse arguments",
    ),
    (
        "ureq",
        &["rekindle-hub"],
        "only the hub downloads; libraries take paths",
    ),
    (
        "axum",
        &["rekindle-dashboard", "rekindle-serve"],
        "only these two serve",
    ),
    (
        "burn-wgpu",
        &["rekindle"],
        "the facade alone chooses backends",
    ),
    (
        "burn-cuda",
        &["rekindle"],
        "the facade alone chooses backends",
    ),
    (
        "burn-rocm",
        &["rekindle"],
        "the facade alone chooses backends",
    ),
];

const BACKENDS: [&str; 7] = ["flex", "ndarray", "wgpu", "vulkan", "metal", "cuda", "rocm"];

/// What tidy needs to know of a workspace member.
pub(super) struct Member {
    name: String,
    /// Relative to the workspace, with `/` between folders.
    folder: String,
    manifest: String,
    /// Normal and build dependencies.
    dependencies: Vec<String>,
    features: Vec<String>,
}

/// The members of the workspace at `root`.
pub(super) fn members(root: &Path) -> anyhow::Result<Vec<Member>> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("cannot read the workspace's manifests")?;
    metadata
        .packages
        .iter()
        .map(|package| member(package, metadata.workspace_root.as_std_path()))
        .collect()
}

fn member(package: &Package, root: &Path) -> anyhow::Result<Member> {
    let path = package.manifest_path.as_std_path();
    let folder = path
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok());
    let folder = folder.with_context(|| format!("`{}` is outside", path.display()))?;
    let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
    Ok(Member {
        name: package.name.to_string(),
        folder: parts.join("/"),
        manifest: fs::read_to_string(path)?,
        dependencies: package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect(),
        features: package.features.keys().cloned().collect(),
    })
}

pub(super) fn check(members: &[Member]) -> Vec<Violation> {
    members
        .iter()
        .flat_map(|member| {
            let mut violations = check_place(member);
            violations.extend(check_dependencies(member, members));
            violations.extend(check_reserved(member));
            violations.extend(check_features(member));
            violations
        })
        .collect()
}

fn check_place(member: &Member) -> Vec<Violation> {
    let mut violations = Vec::new();
    if member.folder.rsplit('/').next() != Some(&member.name) {
        let what = format!(
            "package `{}` in the folder `{}`",
            member.name, member.folder
        );
        violations.push(member.violation("name", what, "folder and package share a name"));
    }
    if member.allowed().is_none() {
        let what = format!("crate `{}` has no place in the graph", member.name);
        let why = "add it to `GRAPH` in xtask/src/tidy/graph.rs";
        violations.push(member.violation("name", what, why));
    }
    violations
}

fn check_dependencies(member: &Member, members: &[Member]) -> Vec<Violation> {
    let allowed = member.allowed().unwrap_or_default();
    let own = members
        .iter()
        .filter(|other| member.dependencies.contains(&other.name));
    own.filter(|other| !allowed.contains(&other.place()))
        .map(|other| {
            let what = format!("`{}` depends on `{}`", member.name, other.name);
            member.violation(&other.name, what, "against the workspace's graph")
        })
        .collect()
}

fn check_reserved(member: &Member) -> Vec<Violation> {
    RESERVED
        .iter()
        .filter(|(name, users, _)| {
            member
                .dependencies
                .iter()
                .any(|dependency| dependency == name)
                && !users.contains(&member.name.as_str())
        })
        .map(|(name, _, why)| {
            let what = format!("`{}` depends on `{name}`", member.name);
            member.violation(name, what, why)
        })
        .collect()
}

fn check_features(member: &Member) -> Vec<Violation> {
    let features = member.features.iter().filter(|_| {
        // The facade declares the backends, the CLI forwards them.
        !matches!(member.name.as_str(), "rekindle" | "rekindle-cli")
    });
    features
        .filter(|feature| BACKENDS.contains(&feature.as_str()))
        .map(|feature| {
            let what = format!("feature `{feature}` of `{}`", member.name);
            let why = "backends are features of the facade and the CLI alone";
            member.violation(feature, what, why)
        })
        .collect()
}

impl Member {
    /// The name that `GRAPH` knows it by.
    fn place(&self) -> &str {
        match self.folder.split_once('/') {
            Some(("models", _)) => "models/",
            Some(("datasets", _)) => "datasets/",
            _ => &self.name,
        }
    }

    fn allowed(&self) -> Option<&'static [&'static str]> {
        let place = self.place();
        let entry = GRAPH.iter().find(|(name, _)| *name == place);
        entry.map(|(_, allowed)| *allowed)
    }

    /// A violation at the line of the manifest that sets `key`.
    fn violation(&self, key: &str, what: String, why: &'static str) -> Violation {
        let sets_key = |line: &str| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        Violation {
            path: format!("{}/Cargo.toml", self.folder),
            line: self
                .manifest
                .lines()
                .position(sets_key)
                .map_or(1, |index| index + 1),
            what,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(folder: &str, dependencies: &[&str]) -> Member {
        let name = folder.rsplit('/').next().unwrap().to_owned();
        let lines = dependencies.iter().map(|name| format!("{name} = \"1\""));
        let lines = lines.collect::<Vec<_>>().join("\n");
        Member {
            manifest: format!("[package]\nname = \"{name}\"\n{lines}"),
            name,
            folder: folder.to_owned(),
            dependencies: dependencies.iter().map(ToString::to_string).collect(),
            features: Vec::new(),
        }
    }

    fn found(members: &[Member]) -> Vec<String> {
        check(members).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_designed_graph_is_accepted() {
        let members = [
            member("crates/rekindle-nn", &["burn"]),
            member("crates/rekindle-data", &[]),
            member("crates/rekindle-train", &["rekindle-nn", "rekindle-data"]),
            member("models/rekindle-bert", &["rekindle-nn"]),
            member("datasets/rekindle-tokens", &["rekindle-data"]),
            member(
                "crates/rekindle",
                &["rekindle-bert", "rekindle-tokens", "burn-wgpu"],
            ),
            member("crates/rekindle-cli", &["rekindle", "anyhow", "clap"]),
        ];
        assert_eq!(found(&members), [""; 0]);
    }

    #[test]
    fn a_model_knows_no_dataset_no_trainer_and_no_other_model() {
        for folder in [
            "datasets/rekindle-tokens",
            "crates/rekindle-train",
            "models/rekindle-gpt2",
        ] {
            let other = member(folder, &[]);
            let model = member("models/rekindle-bert", &["burn", &other.name]);
            let name = other.name.clone();
            let expected = format!(
                "models/rekindle-bert/Cargo.toml:4: `rekindle-bert` depends on `{name}`; \
                 against the workspace's graph"
            );
            assert_eq!(found(&[model, other]), [expected]);
        }
    }

    #[test]
    fn the_trainer_names_no_model() {
        let members = [
            member("crates/rekindle-train", &["rekindle-bert"]),
            member("models/rekindle-bert", &[]),
        ];
        assert_eq!(found(&members).len(), 1);
    }

    #[test]
    fn nobody_ships_the_test_kit() {
        let members = [
            member("models/rekindle-bert", &["rekindle-testkit"]),
            member("crates/rekindle-testkit", &["rekindle-train"]),
        ];
        assert_eq!(found(&members).len(), 1);
    }

    #[test]
    fn reserved_crates_stay_with_their_users() {
        for (name, users, _) in RESERVED {
            assert_eq!(found(&[member("crates/rekindle-data", &[name])]).len(), 1);
            for user in users {
                let folder = format!("crates/{user}");
                assert_eq!(found(&[member(&folder, &[name])]), [""; 0]);
            }
        }
    }

    #[test]
    fn backends_are_features_of_the_facade_alone() {
        let mut library = member("crates/rekindle-nn", &[]);
        library.features = vec!["std".to_owned(), "cuda".to_owned()];
        assert_eq!(found(&[library]).len(), 1);
        let mut facade = member("crates/rekindle", &[]);
        facade.features = vec!["cuda".to_owned()];
        assert_eq!(found(&[facade]), [""; 0]);
    }

    #[test]
    fn a_crate_has_a_place_and_its_folder_s_name() {
        assert_eq!(found(&[member("crates/rekindle-new", &[])]).len(), 1);
        let mut renamed = member("crates/rekindle-nn", &[]);
        renamed.folder = "crates/layers".to_owned();
        assert_eq!(found(&[renamed]).len(), 1);
    }
}
