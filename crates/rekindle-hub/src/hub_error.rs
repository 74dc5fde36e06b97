//! Why a model could not be found or fetched, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::load_error::{CONVERT_WEIGHTS, LoadError, MODEL_FOLDER, quoted};
use crate::reference::nearest_folder;
use crate::transfer_error::TransferError;

/// What the cache lacks of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheGap {
    /// The folder that was looked into: a snapshot, or the model's folder in the cache where there is none.
    pub folder: PathBuf,
    /// Files that the snapshot lacks; empty if there is no snapshot.
    pub missing: Vec<String>,
}

impl fmt::Display for CacheGap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        if self.missing.is_empty() {
            write!(formatter, "no snapshot in `{folder}`")
        } else {
            write!(formatter, "{} missing in `{folder}`", quoted(&self.missing))
        }
    }
}

/// Why a model could not be found or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text looks like a path, and nothing is there.
    #[error("no folder `{path}`", path = .path.display())]
    NoFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a file.
    #[error("`{path}` is a file, not a model folder", path = .path.display())]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The folder holds no model.
    #[error("no `config.json` in `{folder}`", folder = .folder.display())]
    NotAModel {
        /// The folder that was looked into.
        folder: PathBuf,
    },
    /// The folder is a run that has not saved a model.
    #[error("the run `{folder}` has no `model` folder yet", folder = .folder.display())]
    UnfinishedRun {
        /// The run folder.
        folder: PathBuf,
    },
    /// The text is not an existing folder, and cannot be an id.
    #[error("neither a folder nor a model id: `{text}`")]
    NeitherFolderNorId {
        /// The text as it was given.
        text: String,
    },
    /// Offline mode is on and the cache does not hold the whole model.
    #[error(
        "`{id}` is neither a folder nor in the cache, and offline mode forbids a download: {gap}"
    )]
    Offline {
        /// The model.
        id: String,
        /// What the cache lacks.
        gap: CacheGap,
    },
    /// The Hub did not answer and the cache does not hold the whole model.
    #[error(
        "`{id}` is neither a folder nor in the cache, and `{endpoint}` cannot be reached: {gap}"
    )]
    Unreachable {
        /// The model.
        id: String,
        /// Base address of the Hub.
        endpoint: String,
        /// What the cache lacks.
        gap: CacheGap,
        /// The failed connection.
        source: Box<TransferError>,
    },
    /// Neither a folder nor the Hub knows the name.
    #[error("no model `{id}`: there is no such folder, and `{endpoint}` shows no such model")]
    UnknownModel {
        /// The model.
        id: String,
        /// Base address of the Hub.
        endpoint: String,
    },
    /// The model has no such branch, tag or commit.
    #[error("`{id}` has no revision `{revision}`")]
    UnknownRevision {
        /// The model.
        id: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// The Hub did not accept the token.
    #[error("`{endpoint}` rejects the access token")]
    TokenRejected {
        /// Base address of the Hub.
        endpoint: String,
    },
    /// The model is gated or private, and the token, if any, does not open it.
    #[error("no access to `{id}`: it is gated or private")]
    NoAccess {
        /// The model.
        id: String,
        /// Base address of the Hub.
        endpoint: String,
        /// True if a token was sent.
        has_token: bool,
    },
    /// The model has weights, but none that can be read.
    #[error("`{id}` has only `{file}`, and only safetensors are read")]
    OnlyOtherWeights {
        /// The model.
        id: String,
        /// The weights that it has.
        file: String,
    },
    /// The repository lacks a file that a model needs.
    #[error("`{id}` has no `{file}`")]
    MissingFile {
        /// The model.
        id: String,
        /// The file.
        file: String,
    },
    /// What arrived is not what the Hub lists.
    #[error("`{file}` of `{id}` arrived damaged: {found} bytes instead of {expected}")]
    Damaged {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// Its size as the Hub lists it.
        expected: u64,
        /// The size that arrived.
        found: u64,
    },
    /// The content of a file is not what the Hub announces.
    #[error("`{file}` of `{id}` arrived damaged: hash {found} instead of {expected}")]
    WrongContent {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// The hash that the Hub announces.
        expected: String,
        /// The hash of what arrived.
        found: String,
    },
    /// A download failed.
    #[error("cannot download `{item}` from `{endpoint}`")]
    Download {
        /// The model, or one of its files.
        item: String,
        /// Base address of the Hub.
        endpoint: String,
        /// What happened.
        source: Box<TransferError>,
    },
    /// The connection to the Hub could not be set up.
    #[error("cannot set up a connection to `{endpoint}`")]
    Client {
        /// Base address of the Hub.
        endpoint: String,
        /// What happened.
        source: Box<TransferError>,
    },
    /// The cache could not be written.
    #[error("cannot write `{path}`", path = .path.display())]
    Cache {
        /// The file or folder in the cache.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A downloaded index of shards could not be read.
    #[error(transparent)]
    Index(#[from] LoadError),
}

impl HubError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder { path } => did_you_mean(path).unwrap_or_else(|| no_folder_hint(path)),
            Self::NotAFolder { path } => format!(
                "give the folder that holds it: `{}`",
                parent(path).display()
            ),
            Self::NotAModel { .. } => MODEL_FOLDER.into(),
            Self::UnfinishedRun { folder } => format!(
                "finish it with `rekindle train {} --resume`",
                folder.display()
            ),
            Self::NeitherFolderNorId { .. } => {
                "give an existing folder, or an id such as `org/name@revision`".into()
            }
            Self::Offline { id, .. } => by_hand("unset `HF_HUB_OFFLINE`", id),
            Self::Unreachable { id, .. } => by_hand("check the network and `HF_ENDPOINT`", id),
            Self::UnknownModel { id, .. } => did_you_mean(id.as_ref()).unwrap_or_else(|| {
                "check the spelling; a private model needs an access token in `HF_TOKEN`".into()
            }),
            Self::UnknownRevision { id, .. } => {
                format!("leave `@…` out for the main branch: `{id}`")
            }
            Self::TokenRejected { endpoint } => token_hint(endpoint),
            Self::NoAccess {
                id,
                endpoint,
                has_token: true,
            } => {
                format!("ask for access at `{endpoint}/{id}`, and let the token read gated models")
            }
            Self::NoAccess { id, endpoint, .. } => {
                format!("ask for access at `{endpoint}/{id}`, then put a token into `HF_TOKEN`")
            }
            Self::OnlyOtherWeights { .. } => CONVERT_WEIGHTS.into(),
            Self::MissingFile { file, .. } if file == "tokenizer.json" => {
                "write one with transformers: `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
                    .into()
            }
            Self::MissingFile { .. } => "choose a model in the layout of transformers".into(),
            Self::Damaged { .. } | Self::WrongContent { .. } | Self::Download { .. } => {
                "check the network and try again".into()
            }
            Self::Client { endpoint, source } => connection_hint(endpoint, source),
            Self::Cache { .. } => "make room there, or name another cache in `HF_HUB_CACHE`".into(),
            Self::Index(error) => return error.hint(),
        })
    }
}

fn token_hint(endpoint: &str) -> String {
    format!("put a valid token from `{endpoint}/settings/tokens` into `HF_TOKEN`, or unset it")
}

/// Returns the hint for a connection that could not be set up.
fn connection_hint(endpoint: &str, error: &TransferError) -> String {
    match error {
        TransferError::Token => token_hint(endpoint),
        TransferError::Proxy { variable, .. } => {
            format!("write `{variable}` as `http://user:password@host:port`, or unset it")
        }
        TransferError::Certificates { .. } => {
            "name a file with certificates in PEM format in `SSL_CERT_FILE`, \
             `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, or unset it"
                .into()
        }
        _ => {
            "check `HF_ENDPOINT` and the system's root certificates; name those of your company in \
              `SSL_CERT_FILE`"
                .into()
        }
    }
}

fn did_you_mean(path: &Path) -> Option<String> {
    nearest_folder(path).map(|nearest| format!("did you mean the folder `{}`?", nearest.display()))
}

fn no_folder_hint(path: &Path) -> String {
    if path.starts_with("~") {
        "write the path out: only a shell expands `~`".into()
    } else {
        "check the path, or give a model id such as `org/name`".into()
    }
}

/// The folder that holds a file, as something to type.
fn parent(file: &Path) -> &Path {
    file.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn by_hand(first: &str, id: &str) -> String {
    did_you_mean(id.as_ref()).unwrap_or_else(|| {
        format!(
            "{first}, or run `hf download {id}` where there is a network and set `HF_HOME` to the folder with \
             its `hub`, or give a model folder"
        )
    })
}
