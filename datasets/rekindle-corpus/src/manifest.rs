//! `manifest.json`: what a folder of tokens holds, and the key of its place.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::documents::Kind;
use crate::encoding::Encoding;
use crate::hashing::hex;
use crate::source::Source;

/// The version of the folder's form.
pub(crate) const VERSION: u64 = 1;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const TOKENS: &str = "tokens.bin";
pub(crate) const DOCUMENTS: &str = "documents.bin";

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) version: u64,
    /// The version of the crate that wrote it.
    pub(crate) rekindle: String,
    pub(crate) key: String,
    /// Bytes of a token.
    pub(crate) width: usize,
    pub(crate) tokens: u64,
    pub(crate) documents: u64,
    pub(crate) tokens_sha256: String,
    pub(crate) documents_sha256: String,
    pub(crate) sources: Vec<Counted>,
}

/// A file, and what came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    /// Where it was when it was read.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) documents_are: Kind,
    pub(crate) documents: u64,
    pub(crate) tokens: u64,
}

/// The name of the place of all that these files become with this tokenizer.
pub(crate) fn key(encoding: Encoding, sources: &[Source]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |line: String| hasher.update(line + "\n");
    add(format!("rekindle-corpus {VERSION} {}", crate_version()));
    add(encoding.key());
    for source in sources {
        add(format!("{} {}", source.kind.name(), source.sha256));
    }
    hex(hasher)
}

pub(crate) fn crate_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Bytes of a token where this is the highest id.
pub(crate) fn width(highest_id: u32) -> usize {
    if u16::try_from(highest_id).is_ok() {
        2
    } else {
        4
    }
}

/// Tokens as bytes, little-endian.
pub(crate) fn to_bytes(tokens: &[u32], width: usize) -> Vec<u8> {
    let bytes = tokens
        .iter()
        .flat_map(|token| token.to_le_bytes().into_iter().take(width));
    bytes.collect()
}

/// Tokens from bytes.
pub(crate) fn from_bytes(bytes: &[u8], width: usize) -> Vec<u32> {
    let token = |bytes: &[u8]| {
        let digits = bytes.iter().rev();
        digits.fold(0, |token, byte| token << 8 | u32::from(*byte))
    };
    bytes.chunks_exact(width).map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_in_either_width() {
        let tokens = [0, 1, 255, 256, 65_535];
        assert_eq!(to_bytes(&[258], 2), [2, 1]);
        assert_eq!(from_bytes(&to_bytes(&tokens, 2), 2), tokens);
        let tokens = [7, 65_536, u32::MAX];
        assert_eq!(from_bytes(&to_bytes(&tokens, 4), 4), tokens);
    }

    #[test]
    fn two_bytes_are_enough_for_65536_tokens() {
        assert_eq!(width(65_535), 2);
        assert_eq!(width(65_536), 4);
    }
}
