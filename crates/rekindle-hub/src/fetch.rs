//! Downloads from the Hub into its cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFError, HFRepositorySync, RepoTypeModel};

use crate::cache::ModelCache;
use crate::hub_error::{CacheGap, HubError};
use crate::index::{ShardIndex, WEIGHTS, WEIGHTS_INDEX, Weights, weights};
use crate::options::HubOptions;
use crate::resolve::Progress;
use crate::save::companion_files;

/// A dead network is noticed after two attempts of this length.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The silence after which `huggingface_hub` gives a connection up.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often one file is begun when its connection breaks.
const ATTEMPTS: usize = 3;
/// Without a token of ours `hf-hub` would look for one in the environment. It sends no header for a token
/// that cannot stand in one, as a line break cannot.
const NO_TOKEN: &str = "\n";

/// The model that is wanted, and what is there of it.
pub(crate) struct Model<'a> {
    pub(crate) id: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) cache: ModelCache,
    pub(crate) gap: CacheGap,
    pub(crate) options: &'a HubOptions,
}

/// Downloads what the cache lacks and returns the complete snapshot.
pub(crate) fn fetch(model: &Model<'_>, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
    let repository = connect(model)?;
    let commit = commit(model, &repository)?;
    let sizes = file_sizes(model, &repository, &commit)?;
    let snapshot = model.cache.snapshot(&commit);
    let mut download = |file: &str| {
        let Some(size) = sizes.get(file) else {
            return Err(HubError::MissingFile {
                id: model.id.to_owned(),
                file: file.to_owned(),
            });
        };
        Download {
            model,
            repository: &repository,
            commit: &commit,
            file,
            size: *size,
        }
        .run(&snapshot, progress)
    };

    let weights = weights(|file| sizes.contains_key(file));
    if let Weights::Unread(Some(file)) = weights {
        return Err(HubError::OnlyOtherWeights {
            id: model.id.to_owned(),
            file: file.to_owned(),
        });
    }
    download("config.json")?;
    download("tokenizer.json")?;
    for file in companion_files()
        .iter()
        .filter(|file| sizes.contains_key(**file))
    {
        download(file)?;
    }
    if matches!(weights, Weights::Sharded) {
        download(WEIGHTS_INDEX)?;
        for shard in ShardIndex::read(&snapshot)?.shards() {
            download(shard)?;
        }
    } else {
        download(WEIGHTS)?;
    }
    model.cache.write_ref(model.revision, &commit)?;
    Ok(snapshot)
}

fn connect(model: &Model<'_>) -> Result<HFRepositorySync<RepoTypeModel>, HubError> {
    let HubOptions {
        cache,
        endpoint,
        token,
        offline: _,
    } = model.options;
    let failed = |source: HFError| HubError::Client {
        endpoint: endpoint.clone(),
        source: Box::new(source),
    };
    let user_agent = concat!("rekindle/", env!("CARGO_PKG_VERSION"));
    let client = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(|error| failed(error.into()))?;
    let client = HFClient::builder()
        .client(client)
        .user_agent(user_agent)
        .endpoint(endpoint)
        .cache_dir(cache)
        .token(token.as_deref().unwrap_or(NO_TOKEN))
        .retry_max_attempts(1)
        .build_sync()
        .map_err(failed)?;
    let (owner, name) = hf_hub::split_id(model.id);
    Ok(client.model(owner, name))
}

fn commit(
    model: &Model<'_>,
    repository: &HFRepositorySync<RepoTypeModel>,
) -> Result<String, HubError> {
    let info = repository
        .info()
        .revision(model.revision)
        .send()
        .map_err(|error| refused(model, model.id, error))?;
    // The commit becomes the name of a folder.
    info.sha
        .filter(|sha| !sha.is_empty() && sha.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| refused(model, model.id, HFError::malformed_response("no commit")))
}

/// The files at the root of the repository.
fn file_sizes(
    model: &Model<'_>,
    repository: &HFRepositorySync<RepoTypeModel>,
    commit: &str,
) -> Result<BTreeMap<String, u64>, HubError> {
    let entries = repository
        .list_tree()
        .revision(commit)
        .send()
        .map_err(|error| refused(model, model.id, error))?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some((path, size)),
            RepoTreeEntry::Directory { .. } => None,
        })
        .collect())
}

/// One file on its way into the cache.
struct Download<'a> {
    model: &'a Model<'a>,
    repository: &'a HFRepositorySync<RepoTypeModel>,
    commit: &'a str,
    file: &'a str,
    size: u64,
}

impl Download<'_> {
    fn run(&self, snapshot: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
        let path = snapshot.join(self.file);
        if self.check_size(&path).is_ok() {
            return Ok(());
        }
        progress.start(self.file, self.size);
        let mut arrived = 0;
        let mut attempt = 1;
        let outcome = loop {
            let outcome = self.attempt(&path, &mut |bytes| {
                // A new attempt begins at zero; what was counted already is not counted twice.
                progress.advance(bytes.saturating_sub(arrived));
                arrived = arrived.max(bytes);
            });
            match outcome {
                // Another process is downloading the same file: wait for it, however long it takes.
                Err(HubError::Download { source, .. })
                    if matches!(*source, HFError::CacheLockTimeout { .. }) => {}
                Err(error) if attempt < ATTEMPTS && is_broken_transfer(&error) => attempt += 1,
                outcome => break outcome,
            }
        };
        progress.finish();
        outcome
    }

    fn attempt(&self, path: &Path, arrived: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        self.transfer(arrived)
            .map_err(|error| refused(self.model, self.file, error))?;
        self.check_size(path).inspect_err(|_| discard(path))
    }

    /// Runs the transfer on a thread of its own, so that `arrived` is called on this one.
    fn transfer(&self, arrived: &mut dyn FnMut(u64)) -> Result<(), HFError> {
        let (sender, receiver) = channel();
        let request = self
            .repository
            .download_file()
            .filename(self.file)
            .revision(self.commit)
            .progress(Forward(sender.clone()));
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let outcome = request.send();
                // The receiver waits for this message or for the last sender to go; it cannot be gone.
                let _ = sender.send(Message::Ended);
                outcome
            });
            while let Ok(Message::Arrived(bytes)) = receiver.recv() {
                arrived(bytes);
            }
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(())
    }

    /// `hf-hub` checks neither the status nor the length of what it saves.
    fn check_size(&self, path: &Path) -> Result<(), HubError> {
        let found = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if path.exists() && found == self.size {
            return Ok(());
        }
        Err(HubError::Damaged {
            id: self.model.id.to_owned(),
            file: self.file.to_owned(),
            expected: self.size,
            found,
        })
    }
}

/// Removes a snapshot's file and the blob that it points to.
fn discard(path: &Path) {
    if let Ok(blob) = path.canonicalize() {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(path);
}

enum Message {
    Arrived(u64),
    Ended,
}

/// Sends the bytes that have arrived to the thread that waits.
struct Forward(Sender<Message>);

impl ProgressHandler for Forward {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(DownloadEvent::Progress { files }) = event {
            for file in files {
                let _ = self.0.send(Message::Arrived(file.bytes_completed));
            }
        }
    }
}

/// What a refusal by the Hub, or its silence, means to the user.
fn refused(model: &Model<'_>, item: &str, error: HFError) -> HubError {
    let id = model.id.to_owned();
    let endpoint = model.options.endpoint.clone();
    let has_token = model.options.token.is_some();
    match answer(&error) {
        (_, Some("GatedRepo")) | (403, _) => HubError::NoAccess {
            id,
            endpoint,
            has_token,
        },
        // The Hub hides private models from strangers: without a token, 401 may mean that there is none.
        (401, _) if has_token => HubError::TokenRejected { endpoint },
        (404, Some("RevisionNotFound")) => HubError::UnknownRevision {
            id,
            revision: model.revision.to_owned(),
        },
        (401 | 404, _) => HubError::UnknownModel { id, endpoint },
        _ => match error {
            HFError::Io(source) => HubError::Cache {
                path: model.options.cache.clone(),
                source,
            },
            HFError::Request { source, .. } if source.is_connect() || source.is_timeout() => {
                HubError::Unreachable {
                    id,
                    endpoint,
                    gap: model.gap.clone(),
                    source,
                }
            }
            error => HubError::Download {
                item: item.to_owned(),
                endpoint,
                source: Box::new(error),
            },
        },
    }
}

/// Status and error code of the Hub's answer; no answer has status 0.
fn answer(error: &HFError) -> (u16, Option<&str>) {
    let context = match error {
        HFError::Http { context }
        | HFError::AuthRequired { context }
        | HFError::Forbidden { context } => Some(context),
        HFError::RepoNotFound { context, .. }
        | HFError::RevisionNotFound { context, .. }
        | HFError::EntryNotFound { context, .. } => context.as_ref(),
        _ => None,
    };
    context.map_or((0, None), |context| {
        (context.status.as_u16(), context.error_code.as_deref())
    })
}

/// True for a broken transfer, where another attempt may do better.
fn is_broken_transfer(error: &HubError) -> bool {
    match error {
        HubError::Damaged { .. } => true,
        HubError::Download { source, .. } => {
            matches!(
                **source,
                HFError::Request { .. } | HFError::Http { .. } | HFError::Xet { .. }
            )
        }
        _ => false,
    }
}
