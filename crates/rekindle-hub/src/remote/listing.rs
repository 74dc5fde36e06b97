//! Listing of a repository at a commit.

use std::collections::BTreeMap;

use serde::Deserialize;
use ureq::http::{HeaderMap, Uri};

use super::client::Client;
use crate::blob::ContentHash;
use crate::index::is_plain;
use crate::transfer_error::TransferError;

/// Pages of a listing; the Hub puts 1,000 entries on each.
const MAX_PAGES: usize = 64;
/// Entries of a listing.
const MAX_ENTRIES: usize = 50_000;

#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    oid: Option<String>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(default)]
    oid: Option<String>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Bytes of its content.
    pub(crate) size: u64,
    /// The hash that the listing gives, if any.
    pub(crate) hash: Option<ContentHash>,
}

/// The files at the root of a repository, by name.
pub(crate) type Listing = BTreeMap<String, Entry>;

/// Asks for the commit of a revision; it becomes the name of a folder.
pub(crate) fn commit(client: &Client, id: &str, revision: &str) -> Result<String, TransferError> {
    let address = client.address(&model(id, &["revision", revision]))?;
    let (info, _) = client.json::<Info>(&address)?;
    let is_pinned = ContentHash::parse(revision).is_some();
    info.sha
        .filter(|sha| ContentHash::parse(sha).is_some() && (!is_pinned || sha == revision))
        .ok_or(TransferError::Malformed { what: "commit" })
}

impl Client {
    /// Lists the files at the root of a model's repository.
    pub(crate) fn list(&self, id: &str, commit: &str) -> Result<Listing, TransferError> {
        let tree = self.address(&model(id, &["tree", commit]))?;
        let mut listing = Listing::new();
        let mut address = tree.clone();
        let mut entries = 0;
        for _ in 0..MAX_PAGES {
            let (page, headers) = self.json::<Vec<RawEntry>>(&address)?;
            entries += page.len();
            if entries > MAX_ENTRIES {
                break;
            }
            for entry in page {
                if let Some((name, entry)) = read(entry)? {
                    listing.insert(name, entry);
                }
            }
            match next_page(&tree, &headers) {
                Some(next) => address = next,
                None => return Ok(listing),
            }
        }
        Err(TransferError::Listing {
            pages: MAX_PAGES,
            entries: MAX_ENTRIES,
        })
    }
}

fn model<'a>(id: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let segments = ["api", "models"].into_iter().chain(id.split('/'));
    segments.chain(rest.iter().copied()).collect()
}

/// Reads an entry; none for folders, and for names that lead elsewhere.
fn read(entry: RawEntry) -> Result<Option<(String, Entry)>, TransferError> {
    if entry.kind != "file" || !is_plain(&entry.path) {
        return Ok(None);
    }
    let size = entry
        .size
        .ok_or(TransferError::Malformed { what: "size" })?;
    // The `oid` of a file in LFS is that of its pointer.
    let hash = match entry.lfs {
        Some(lfs) => lfs.oid,
        None => entry.oid,
    };
    let hash = hash.as_deref().and_then(ContentHash::parse);
    Ok(Some((entry.path, Entry { size, hash })))
}

/// Returns the address of the next page: its query at our own address, wherever the link points.
fn next_page(tree: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let links = headers.get_all("link").iter();
    let links = links.filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then_some(address)
    })?;
    let (_, query) = next.split_once('?')?;
    let query = query.split('#').next()?;
    format!("{tree}?{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(link: &str) -> Option<String> {
        let tree = "http://mirror/api/models/a/b/tree/0".parse().unwrap();
        let headers = HeaderMap::from_iter([(ureq::http::header::LINK, link.parse().unwrap())]);
        next_page(&tree, &headers).map(|address| address.to_string())
    }

    #[test]
    fn the_next_page_is_asked_of_the_configured_host() {
        let expected = Some("http://mirror/api/models/a/b/tree/0?limit=2&cursor=x%3D".to_owned());
        for link in [
            "<https://hub/api/models/a/b/tree/main?limit=2&cursor=x%3D>; rel=\"next\"",
            "<https://hub/p?q>; rel=\"prev\", <https://evil/?limit=2&cursor=x%3D>;rel=next",
        ] {
            assert_eq!(next(link), expected, "{link}");
        }
        assert_eq!(next("<https://hub/x?y>; rel=\"last\""), None);
        assert_eq!(next("<https://hub/x>; rel=\"next\""), None);
        assert_eq!(next("garbage"), None);
    }
}
