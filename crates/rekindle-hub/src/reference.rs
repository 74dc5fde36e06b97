//! What a user may write to name a model: a folder, or an id on the Hub.

use std::path::{Path, PathBuf};

use crate::hub_error::HubError;

/// A model as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelReference {
    /// An existing folder; of a run folder, the `model` folder in it.
    Folder(PathBuf),
    /// A model on the Hub.
    Hub {
        /// `org/name`, or the plain name of one of the first models (`gpt2`).
        id: String,
        /// Branch, tag or commit; none is the main branch.
        revision: Option<String>,
    },
}

impl ModelReference {
    /// Reads `text`: an existing folder wins, else it is `org/name[@revision]`.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let path = Path::new(text);
        if path.is_dir() {
            return model_in(path).map(Self::Folder);
        }
        if path.exists() {
            return Err(HubError::NotAFolder {
                path: path.to_owned(),
            });
        }
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        if text.starts_with(['.', '/', '~']) || text.contains('\\') || id.matches('/').count() > 1 {
            return Err(HubError::NoFolder {
                path: path.to_owned(),
            });
        }
        if !is_id(id) || !revision.is_none_or(is_revision) {
            return Err(HubError::NeitherFolderNorId {
                text: text.to_owned(),
            });
        }
        Ok(Self::Hub {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }
}

/// The folder itself, or of a run folder its `model` folder.
fn model_in(folder: &Path) -> Result<PathBuf, HubError> {
    if !folder.join("recipe.toml").is_file() || folder.join("config.json").is_file() {
        return Ok(folder.to_owned());
    }
    let model = folder.join("model");
    if model.is_dir() {
        Ok(model)
    } else {
        Err(HubError::UnfinishedRun {
            folder: folder.to_owned(),
        })
    }
}

/// The rules of the Hub for repository ids.
fn is_id(id: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    id.len() <= 96 && id.split('/').all(is_part) && !id.contains("--") && !id.contains("..")
}

/// A name that git would take for a branch or tag, and that stays inside the cache as a path.
fn is_revision(revision: &str) -> bool {
    revision
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.'))
        && revision
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !"\\:?*[~^".contains(c))
}

/// The folder beside `path` whose name is most like its own.
pub(crate) fn nearest_folder(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let listed = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let names = listed
        .read_dir()
        .ok()?
        .flatten()
        .filter(|entry| entry.path().is_dir());
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| (strsim::jaro_winkler(wanted, &name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| parent.join(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn hub(id: &str, revision: Option<&str>) -> ModelReference {
        ModelReference::Hub {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
        }
    }

    #[test]
    fn ids_are_read_with_and_without_revision() {
        let parse = |text: &str| ModelReference::parse(text).unwrap();
        assert_eq!(parse("no-such-model"), hub("no-such-model", None));
        assert_eq!(parse("org/Some_model.v2"), hub("org/Some_model.v2", None));
        assert_eq!(parse("org/name@v1.0"), hub("org/name", Some("v1.0")));
        assert_eq!(
            parse("org/name@refs/pr/1"),
            hub("org/name", Some("refs/pr/1"))
        );
    }

    #[test]
    fn an_existing_folder_wins_over_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().to_str().unwrap();
        assert_eq!(
            ModelReference::parse(text).unwrap(),
            ModelReference::Folder(folder.path().to_owned())
        );
    }

    #[test]
    fn a_run_folder_stands_for_its_model() {
        let run = tempfile::tempdir().unwrap();
        let text = run.path().to_str().unwrap();
        fs::write(run.path().join("recipe.toml"), "").unwrap();
        assert!(matches!(
            ModelReference::parse(text),
            Err(HubError::UnfinishedRun { .. })
        ));
        fs::create_dir(run.path().join("model")).unwrap();
        assert_eq!(
            ModelReference::parse(text).unwrap(),
            ModelReference::Folder(run.path().join("model"))
        );
    }

    #[test]
    fn text_that_looks_like_a_path_is_never_an_id() {
        for text in [
            "./bert",
            "../bert",
            "/models/bert",
            "~/bert",
            "models/of/bert",
            "models\\bert",
        ] {
            let error = ModelReference::parse(text).unwrap_err();
            assert!(
                matches!(error, HubError::NoFolder { .. }),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_mistyped_folder_gets_the_nearest_name() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("my-finetune")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        let error =
            ModelReference::parse(parent.path().join("my-finetnue").to_str().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("no folder `"), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.starts_with("did you mean the folder `") && hint.ends_with("/my-finetune`?"),
            "{hint}"
        );
    }

    #[test]
    fn a_file_is_not_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        fs::write(&file, "").unwrap();
        let error = ModelReference::parse(file.to_str().unwrap()).unwrap_err();
        assert!(matches!(error, HubError::NotAFolder { .. }), "{error}");
        assert!(
            error
                .hint()
                .unwrap()
                .contains(folder.path().to_str().unwrap())
        );
    }

    #[test]
    fn text_that_is_no_id_says_that_both_were_tried() {
        for text in [
            "",
            "my model",
            "org/",
            "org/na--me",
            "org/name@",
            "org/name@../main",
            "ü",
        ] {
            let error = ModelReference::parse(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("neither a folder nor a model id: `{text}`")
            );
        }
    }
}
