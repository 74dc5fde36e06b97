//! Reads one safetensors file: its header at once, each tensor when it is asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::load_error::LoadError;

/// The length of the header stands first, in this many bytes.
const LENGTH_BYTES: usize = 8;
/// The limit of the format's reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Tensors are converted piece by piece, so that no second copy of a large one is held.
const PIECE_BYTES: usize = 1 << 20;

/// An open safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: Mutex<File>,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl TensorFile {
    /// Opens a file and checks that header and size agree.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let header_bytes = header_length(path, &mut file, size)?;
        let data_start = LENGTH_BYTES as u64 + header_bytes;
        check_size(path, size, |size| size >= data_start, data_start)?;

        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(failed)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|source| LoadError::Json {
                path: path.to_owned(),
                source,
            })?;
        let expected = data_start + metadata.data_len() as u64;
        check_size(path, size, |size| size == expected, expected)?;

        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.clone()))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            data_start,
            tensors,
        })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// The type of a tensor's elements, if there is one of that name.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|info| info.dtype)
    }

    /// Reads a tensor of any float type as `f32`, in row-major order.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let Some(info) = self.tensors.get(name) else {
            return Err(LoadError::NoTensor {
                name: name.to_owned(),
                path: self.path.clone(),
            });
        };
        match info.dtype {
            Dtype::F32 => self.read(info, f32::from_le_bytes),
            Dtype::F16 => self.read(info, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.read(info, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => self.read(info, |bytes| f64::from_le_bytes(bytes) as f32),
            dtype => {
                return Err(LoadError::Dtype {
                    name: name.to_owned(),
                    dtype,
                    path: self.path.clone(),
                });
            }
        }
        .map_err(|source| LoadError::Read {
            path: self.path.clone(),
            source,
        })
    }

    fn read<const N: usize>(
        &self,
        info: &TensorInfo,
        convert: impl Fn([u8; N]) -> f32,
    ) -> io::Result<Vec<f32>> {
        let (start, end) = info.data_offsets;
        let mut values = Vec::with_capacity((end - start) / N);
        // A panic elsewhere leaves the file at some position, which is set here anyway.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.data_start + start as u64))?;
        let mut piece = vec![0; PIECE_BYTES.min(end - start)];
        let mut remaining = end - start;
        while remaining > 0 {
            let bytes = remaining.min(PIECE_BYTES);
            file.read_exact(&mut piece[..bytes])?;
            let (elements, _) = piece[..bytes].as_chunks::<N>();
            values.extend(elements.iter().map(|element| convert(*element)));
            remaining -= bytes;
        }
        Ok(values)
    }
}

fn header_length(path: &Path, file: &mut File, size: u64) -> Result<u64, LoadError> {
    check_size(
        path,
        size,
        |size| size >= LENGTH_BYTES as u64,
        LENGTH_BYTES as u64,
    )?;
    let mut length = [0; LENGTH_BYTES];
    file.read_exact(&mut length)
        .map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
    if &length == b"version " {
        return Err(LoadError::LfsPointer {
            path: path.to_owned(),
        });
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(LoadError::NotSafetensors {
            path: path.to_owned(),
        });
    }
    Ok(length)
}

fn check_size(
    path: &Path,
    found: u64,
    fits: impl Fn(u64) -> bool,
    expected: u64,
) -> Result<(), LoadError> {
    if fits(found) {
        Ok(())
    } else {
        Err(LoadError::Size {
            path: path.to_owned(),
            expected,
            found,
        })
    }
}
