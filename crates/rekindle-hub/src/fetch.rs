//! Downloads from the Hub into its cache.

use std::path::PathBuf;

use crate::cache::ModelCache;
use crate::download::Download;
use crate::hub_error::{CacheGap, HubError};
use crate::index::{ShardIndex, WEIGHTS, WEIGHTS_INDEX, Weights, weights};
use crate::options::HubOptions;
use crate::remote::{Client, commit};
use crate::resolve::Progress;
use crate::save::companion_files;
use crate::transfer_error::{Refusal, TransferError};

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
    let failed = |item: &str| {
        let item = item.to_owned();
        move |error| failure(model, &item, error)
    };
    let client = Client::new(model.options).map_err(failed(model.id))?;
    let commit = commit(&client, model.id, model.revision).map_err(failed(model.id))?;
    let listing = client.list(model.id, &commit).map_err(failed(model.id))?;
    let snapshot = model.cache.snapshot(&commit);
    let mut download = |name: &str| {
        let Some(entry) = listing.get(name) else {
            return Err(HubError::MissingFile {
                id: model.id.to_owned(),
                file: name.to_owned(),
            });
        };
        let mut segments: Vec<&str> = model.id.split('/').collect();
        segments.extend(["resolve", &commit, name]);
        let outcome = client.address(&segments).and_then(|source| {
            let cache = &model.cache;
            let client = &client;
            Download {
                client,
                cache,
                source,
                name,
                entry,
            }
            .run(&snapshot, progress)
        });
        outcome.map_err(failed(name))
    };

    let weights = weights(|file| listing.contains_key(file));
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
        .filter(|file| listing.contains_key(**file))
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
    let written = model.cache.write_ref(model.revision, &commit);
    written.map_err(failed(model.id))?;
    Ok(snapshot)
}

/// Returns what a failed transfer means to the user.
fn failure(model: &Model<'_>, item: &str, error: TransferError) -> HubError {
    let (id, file) = (model.id.to_owned(), item.to_owned());
    let endpoint = model.options.endpoint.clone();
    match error {
        TransferError::Refused(refusal) => refused(model, item, refusal),
        TransferError::Cache { path, source } => HubError::Cache { path, source },
        TransferError::Length { expected, found } => HubError::Damaged {
            id,
            file,
            expected,
            found,
        },
        TransferError::Hash { expected, found } => HubError::WrongContent {
            id,
            file,
            expected,
            found,
        },
        error if is_setup(&error) => HubError::Client {
            endpoint,
            source: Box::new(error),
        },
        error if is_unreachable(&error) => HubError::Unreachable {
            id,
            endpoint,
            gap: model.gap.clone(),
            source: Box::new(error),
        },
        error => HubError::Download {
            item: file,
            endpoint,
            source: Box::new(error),
        },
    }
}

/// Returns what a refusal by the Hub means to the user.
fn refused(model: &Model<'_>, item: &str, refusal: Refusal) -> HubError {
    let id = model.id.to_owned();
    let endpoint = model.options.endpoint.clone();
    let has_token = model.options.token.is_some();
    match (refusal.status, refusal.code.as_deref()) {
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
        (404, Some("EntryNotFound")) if item != model.id => HubError::MissingFile {
            id,
            file: item.to_owned(),
        },
        (401 | 404, _) => HubError::UnknownModel { id, endpoint },
        _ => HubError::Download {
            item: item.to_owned(),
            endpoint,
            source: Box::new(TransferError::Refused(refusal)),
        },
    }
}

/// True for settings that allow no connection, and for a server that is not trusted.
fn is_setup(error: &TransferError) -> bool {
    match error {
        TransferError::Connection(error) => TransferError::is_untrusted(error),
        error => matches!(
            error,
            TransferError::Endpoint
                | TransferError::Token
                | TransferError::Proxy { .. }
                | TransferError::Certificates { .. }
        ),
    }
}

fn is_unreachable(error: &TransferError) -> bool {
    matches!(error, TransferError::Connection(error) if TransferError::is_unreachable(error))
}
