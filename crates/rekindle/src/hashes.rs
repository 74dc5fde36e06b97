//! Hashes of files, by which inputs are known again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Error;

/// SHA-256 of files by their names.
pub(crate) type Hashes = BTreeMap<String, String>;

/// Hashes of the weight files of a model folder.
pub(crate) fn weights(folder: &Path) -> Result<Hashes, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut hashes = Hashes::new();
    // A run that was stopped early may have no model yet.
    if !folder.exists() {
        return Ok(hashes);
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".safetensors") {
            hashes.insert(name.into_owned(), hash(&path)?);
        }
    }
    Ok(hashes)
}

/// SHA-256 of a file, in hexadecimal digits.
pub(crate) fn hash(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf().map_err(failed)?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        hasher.update(bytes);
        file.consume(length);
    }
    Ok(digits(hasher))
}

/// A hash in hexadecimal digits.
pub(crate) fn digits(hasher: Sha256) -> String {
    hex::encode(hasher.finalize())
}
