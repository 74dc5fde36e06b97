//! Checkpoint files of every kind, whole and damaged.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use rekindle_hub::{Checkpoint, Dtype, LoadError, TensorFile, read_config};
use safetensors::tensor::TensorView;
use tempfile::tempdir;

use crate::{files, sharded_model, tiny_model, weights, write_all};

/// Exact in every float type.
const VALUES: [f32; 6] = [0.0, -1.5, 0.25, 3.0, -0.062_5, 128.0];

fn typed(dtype: Dtype) -> Vec<u8> {
    let bytes: Vec<u8> = match dtype {
        Dtype::F16 => VALUES
            .iter()
            .flat_map(|value| f16::from_f32(*value).to_le_bytes())
            .collect(),
        Dtype::BF16 => VALUES
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect(),
        Dtype::F32 => VALUES
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        Dtype::F64 => VALUES
            .iter()
            .flat_map(|value| f64::from(*value).to_le_bytes())
            .collect(),
        _ => VALUES
            .iter()
            .flat_map(|value| (*value as i64).to_le_bytes())
            .collect(),
    };
    let view = TensorView::new(dtype, vec![2, 3], &bytes).unwrap();
    safetensors::serialize([("x", view)], None).unwrap()
}

fn error_of(folder: &Path, contents: &[(&str, &[u8])]) -> LoadError {
    write_all(folder, &files(contents));
    Checkpoint::open(folder).unwrap_err()
}

#[test]
fn every_float_type_is_read_as_f32() {
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let folder = tempdir().unwrap();
        write_all(
            folder.path(),
            &files(&[("model.safetensors", &typed(dtype))]),
        );
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["x"]);
        assert_eq!(checkpoint.shape("x"), Some(&[2, 3][..]));
        assert_eq!(checkpoint.dtype("x"), Some(dtype));
        assert_eq!(checkpoint.read_f32("x").unwrap(), VALUES, "{dtype}");
    }
}

#[test]
fn a_tensor_larger_than_a_piece_is_read_whole() {
    let values: Vec<f32> = (0..600_000).map(|value| value as f32).collect();
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let large = TensorView::new(Dtype::F32, vec![600_000], &bytes).unwrap();
    let empty = TensorView::new(Dtype::F32, vec![0, 7], &[]).unwrap();
    let folder = tempdir().unwrap();
    let path = folder.path().join("fixture.safetensors");
    fs::write(
        &path,
        safetensors::serialize([("large", large), ("empty", empty)], None).unwrap(),
    )
    .unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.read_f32("large").unwrap(), values);
    assert_eq!(file.read_f32("empty").unwrap(), Vec::<f32>::new());
}

#[test]
fn other_types_are_listed_but_not_read() {
    let folder = tempdir().unwrap();
    write_all(
        folder.path(),
        &files(&[("model.safetensors", &typed(Dtype::I64))]),
    );
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.dtype("x"), Some(Dtype::I64));
    let error = checkpoint.read_f32("x").unwrap_err().to_string();
    assert!(
        error.starts_with("tensor `x` in `") && error.contains("is of type `I64`"),
        "{error}"
    );
}

#[test]
fn an_unknown_tensor_is_an_error() {
    let folder = tempdir().unwrap();
    write_all(folder.path(), &tiny_model());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!((checkpoint.shape("c"), checkpoint.dtype("c")), (None, None));
    assert!(matches!(
        checkpoint.read_f32("c"),
        Err(LoadError::NoTensor { .. })
    ));
}

#[test]
fn shards_make_one_checkpoint() {
    let folder = tempdir().unwrap();
    write_all(folder.path(), &sharded_model());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    for name in ["a", "b"] {
        assert_eq!(checkpoint.shape(name), Some(&[10, 100][..]));
        assert_eq!(
            checkpoint.read_f32(name).unwrap()[997..],
            [997.0, 998.0, 999.0]
        );
    }
}

#[test]
fn a_truncated_file_names_both_sizes() {
    let whole = weights(&["a"]);
    for length in [0, 7, 8, 40, whole.len() - 4000, whole.len() - 1] {
        let folder = tempdir().unwrap();
        let error = error_of(folder.path(), &[("model.safetensors", &whole[..length])]);
        let LoadError::Size {
            path,
            expected,
            found,
        } = &error
        else {
            panic!("{length}: {error}")
        };
        assert_eq!(*path, folder.path().join("model.safetensors"));
        assert!(*found == length as u64 && *expected > *found, "{error}");
        assert!(error.hint().unwrap().contains("download it again"));
    }
}

#[test]
fn a_file_with_something_after_its_end_is_damaged() {
    let mut bytes = weights(&["a"]);
    bytes.push(0);
    let folder = tempdir().unwrap();
    let error = error_of(folder.path(), &[("model.safetensors", &bytes)]);
    assert!(matches!(error, LoadError::Size { .. }), "{error}");
}

#[test]
fn a_damaged_header_is_an_error() {
    let mut bytes = weights(&["a"]);
    bytes[8] = b'[';
    let folder = tempdir().unwrap();
    let error = error_of(folder.path(), &[("model.safetensors", &bytes)]);
    assert!(matches!(error, LoadError::Json { .. }), "{error}");

    let error = error_of(folder.path(), &[("model.safetensors", &[0xff; 64])]);
    assert!(
        error.to_string().ends_with("is not a safetensors file"),
        "{error}"
    );
}

#[test]
fn a_git_lfs_pointer_is_recognized() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let folder = tempdir().unwrap();
    let error = error_of(folder.path(), &[("model.safetensors", pointer)]);
    assert!(matches!(error, LoadError::LfsPointer { .. }), "{error}");
    assert!(error.hint().unwrap().contains("git lfs pull"));
}

#[test]
fn all_missing_shards_are_named() {
    let folder = tempdir().unwrap();
    let index =
        br#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}"#;
    let error = error_of(folder.path(), &[("model.safetensors.index.json", index)]);
    assert!(
        error
            .to_string()
            .ends_with("lacks `1.safetensors`, `2.safetensors`"),
        "{error}"
    );
}

#[test]
fn a_shard_that_lacks_a_tensor_of_the_index_is_an_error() {
    let folder = tempdir().unwrap();
    let index =
        br#"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "1.safetensors"}}"#;
    let contents: [(&str, &[u8]); 2] = [
        ("model.safetensors.index.json", index),
        ("1.safetensors", &weights(&["a"])),
    ];
    let error = error_of(folder.path(), &contents);
    assert!(
        error
            .to_string()
            .contains("lacks `b`, `c`, which the index places there"),
        "{error}"
    );
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    for shard in [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "",
    ] {
        let folder = tempdir().unwrap();
        let index = format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#);
        let error = error_of(
            folder.path(),
            &[("model.safetensors.index.json", index.as_bytes())],
        );
        assert!(
            matches!(error, LoadError::ShardName { .. }),
            "{shard}: {error}"
        );
    }
}

#[test]
fn a_folder_without_readable_weights_says_so() {
    let folder = tempdir().unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        error.to_string().starts_with("no `model.safetensors` in `"),
        "{error}"
    );
    let error = error_of(folder.path(), &[("pytorch_model.bin", b"pickle")]);
    assert!(
        error
            .to_string()
            .ends_with("has only `pytorch_model.bin`, and only safetensors are read"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("safe_serialization=True"));
}

#[test]
fn a_config_is_an_object_in_a_file() {
    let folder = tempdir().unwrap();
    let error = read_config(folder.path()).unwrap_err();
    assert!(
        error.to_string().ends_with("config.json`") && error.hint().is_some(),
        "{error}"
    );
    write_all(folder.path(), &files(&[("config.json", b"[1]")]));
    assert!(matches!(
        read_config(folder.path()),
        Err(LoadError::Json { .. })
    ));
    write_all(folder.path(), &tiny_model());
    assert_eq!(read_config(folder.path()).unwrap()["model_type"], "bert");
}
