//! Writes a model folder that transformers loads unchanged, whole or not at all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::index::WEIGHTS;
use crate::save_error::SaveError;
use crate::stored_type::StoredType;

/// Values are turned into bytes in pieces of this many.
const PIECE_VALUES: usize = 1 << 16;

/// How a model writes, and which tokens end an answer.
const GENERATION_CONFIG: &str = "generation_config.json";

/// A tensor on its way into a file; its values are asked for when it is written.
pub struct NamedTensor<'a> {
    name: String,
    shape: Vec<usize>,
    stored: StoredType,
    values: Box<dyn FnOnce() -> Vec<f32> + 'a>,
}

impl<'a> NamedTensor<'a> {
    /// A tensor whose `values`, in row-major order, are asked for once, when it is its turn.
    ///
    /// One tensor's values are held at a time, so a closure that copies them from a device saves memory;
    /// `move || values` serves where they are at hand.
    pub fn new(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl FnOnce() -> Vec<f32> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            shape,
            stored: StoredType::F32,
            values: Box::new(values),
        }
    }

    /// The same tensor, its values rounded to another type in the file.
    #[must_use]
    pub fn stored_as(self, stored: StoredType) -> Self {
        Self { stored, ..self }
    }

    /// The same tensor under a longer name.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        Self {
            name: format!("{prefix}{}", self.name),
            ..self
        }
    }
}

/// The folder that the companion files come from.
#[derive(Clone, Debug)]
pub struct Companions<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// A `generation_config.json` in place of the folder's.
    pub generation_config: Option<Map<String, Value>>,
}

impl<'a> From<&'a Path> for Companions<'a> {
    fn from(folder: &'a Path) -> Self {
        Self {
            folder,
            generation_config: None,
        }
    }
}

/// The files beside configuration and weights that belong to a model: its tokenizer and how it generates.
pub fn companion_files() -> &'static [&'static str] {
    &[
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "spiece.model",
        "tokenizer.model",
        GENERATION_CONFIG,
        "chat_template.jinja",
    ]
}

/// Writes `config.json`, `model.safetensors` and the companion files of another folder into `folder`.
///
/// Everything is written into a new folder beside the target, which then takes its place: nobody sees half a
/// model, and an older one is removed only after that. A folder with something else in it is left alone.
pub fn save_model<'a>(
    folder: &Path,
    config: &Map<String, Value>,
    tensors: Vec<NamedTensor<'_>>,
    companions: impl Into<Companions<'a>>,
) -> Result<(), SaveError> {
    save_folder(folder, &companions.into(), |staged| {
        write_json(&staged.join("config.json"), config)?;
        write_weights(&staged.join(WEIGHTS), tensors)
    })
}

/// Puts a new folder in the target's place, with what `write` puts in it and the companion files.
pub(crate) fn save_folder(
    folder: &Path,
    companions: &Companions,
    write: impl FnOnce(&Path) -> Result<(), SaveError>,
) -> Result<(), SaveError> {
    let target = std::path::absolute(folder).map_err(|source| failed(folder, source))?;
    refuse_occupied(&target)?;
    let parent = target.parent().unwrap_or(&target);
    fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
    let staged = beside(&target, "partial")?;
    write(staged.path())?;
    if let Some(config) = &companions.generation_config {
        write_json(&staged.path().join(GENERATION_CONFIG), config)?;
    }
    let is_given = |name: &str| companions.generation_config.is_some() && name == GENERATION_CONFIG;
    for name in companion_files().iter().filter(|name| !is_given(name)) {
        let source = companions.folder.join(name);
        match fs::read(&source) {
            Ok(bytes) => write_synced(&staged.path().join(name), &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(SaveError::Read {
                    path: source,
                    source: error,
                });
            }
        }
    }
    sync_folder(staged.path())?;
    put_in_place(staged, &target)?;
    sync_folder(parent)
}

/// Only a model is replaced by a model: the folder may be a user's own by mistake.
fn refuse_occupied(target: &Path) -> Result<(), SaveError> {
    let is_empty = match target.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(target, error)),
    };
    if is_empty || target.join("config.json").is_file() {
        return Ok(());
    }
    Err(SaveError::Occupied {
        folder: target.to_owned(),
    })
}

/// A hidden folder beside the target, thus on the same file system; it goes away when dropped.
fn beside(target: &Path, purpose: &str) -> Result<TempDir, SaveError> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(failed(target, io::ErrorKind::InvalidInput.into()));
    };
    let mut builder = tempfile::Builder::new();
    // The default would hide the model from other users; the process's mask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
        .prefix(&format!(".{}.{purpose}-", name.display()))
        .tempdir_in(parent)
        .map_err(|source| failed(parent, source))
}

fn put_in_place(staged: TempDir, target: &Path) -> Result<(), SaveError> {
    let failed = |source| failed(target, source);
    let replaced = match fs::symlink_metadata(target) {
        Ok(_) => Some(beside(target, "replaced")?),
        Err(_) => None,
    };
    if let Some(replaced) = &replaced {
        fs::rename(target, replaced.path().join("model")).map_err(failed)?;
    }
    if let Err(source) = fs::rename(staged.path(), target) {
        if let Some(replaced) = replaced {
            // Kept first: should the way back fail too, the older model is still there.
            let kept = replaced.keep();
            fs::rename(kept.join("model"), target)
                .and_then(|()| fs::remove_dir(kept))
                .map_err(failed)?;
        }
        return Err(failed(source));
    }
    // Its content has a new name, so there is nothing left to remove.
    let _ = staged.keep();
    Ok(())
}

/// Removes what a killed process left of a model folder; an older model that had to make way comes back
/// if no new one has taken its place.
pub fn sweep_model(folder: &Path) -> Result<(), SaveError> {
    let target = std::path::absolute(folder).map_err(|source| failed(folder, source))?;
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Ok(());
    };
    let leftovers = |purpose: &str| -> Vec<PathBuf> {
        let prefix = format!(".{}.{purpose}-", name.display());
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .collect()
    };
    for replaced in leftovers("replaced") {
        let older = replaced.join("model");
        if !target.exists() && older.exists() {
            fs::rename(older, &target).map_err(|source| failed(&target, source))?;
        }
        fs::remove_dir_all(&replaced).map_err(|source| failed(&replaced, source))?;
    }
    for partial in leftovers("partial") {
        fs::remove_dir_all(&partial).map_err(|source| failed(&partial, source))?;
    }
    Ok(())
}

/// Writes a configuration as transformers does.
pub(crate) fn write_json(path: &Path, json: &Map<String, Value>) -> Result<(), SaveError> {
    write_synced(path, config_text(json).as_bytes())
}

/// Writes tensors as a file of their own.
pub(crate) fn write_weights(path: &Path, tensors: Vec<NamedTensor<'_>>) -> Result<(), SaveError> {
    let file = File::create(path).map_err(|source| failed(path, source))?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    write_tensors(path, &mut writer, tensors)?;
    let file = writer
        .into_inner()
        .map_err(|error| failed(path, error.into_error()))?;
    file.sync_all().map_err(|source| failed(path, source))
}

/// Writes tensors as a safetensors file, in the order of their names; errors name `path`.
pub fn write_tensors(
    path: &Path,
    writer: &mut dyn Write,
    mut tensors: Vec<NamedTensor<'_>>,
) -> Result<(), SaveError> {
    tensors.sort_by(|left, right| left.name.cmp(&right.name));
    let header = header(path, &tensors)?;
    let mut write = |bytes: &[u8]| {
        writer
            .write_all(bytes)
            .map_err(|source| failed(path, source))
    };
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for NamedTensor {
        name,
        shape,
        stored,
        values,
    } in tensors
    {
        let values = values();
        if values.len() != shape.iter().product::<usize>() {
            return Err(SaveError::Shape {
                name,
                shape,
                found: values.len(),
            });
        }
        for piece in values.chunks(PIECE_VALUES) {
            let bytes = stored.bytes(piece).ok_or_else(|| SaveError::Overflow {
                name: name.clone(),
                stored,
            })?;
            write(&bytes)?;
        }
    }
    Ok(())
}

/// The header: where each tensor lies, padded so that the data begins at a multiple of eight bytes.
fn header(path: &Path, tensors: &[NamedTensor<'_>]) -> Result<Vec<u8>, SaveError> {
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(SaveError::DuplicateTensor {
            name: pair[0].name.clone(),
        });
    }
    let mut end = 0;
    let place = |tensor: &NamedTensor<'_>| {
        let start = end;
        end += tensor.shape.iter().product::<usize>() * tensor.stored.size();
        let info = TensorInfo {
            dtype: tensor.stored.dtype(),
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    };
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let describe = |source| SaveError::Header {
        path: path.to_owned(),
        source,
    };
    let metadata =
        Metadata::new(Some(format), tensors.iter().map(place).collect()).map_err(describe)?;
    let mut header = serde_json::to_vec(&metadata).map_err(|source| describe(source.into()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| failed(path, source))
}

/// Makes the names in a folder durable; elsewhere than on Unix a folder cannot be opened for that.
fn sync_folder(folder: &Path) -> Result<(), SaveError> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(|source| failed(folder, source))?;
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> SaveError {
    SaveError::Write {
        path: PathBuf::from(path),
        source,
    }
}

/// The text of `config.json` as transformers writes it: sorted, indented by two, with a last line break.
fn config_text(config: &Map<String, Value>) -> String {
    format!("{:#}\n", sorted(&Value::Object(config.clone())))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // Label ids are numbers to transformers, which sorts them as such.
            entries.sort_by_key(|(key, _)| (key.parse::<u64>().ok(), *key));
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
