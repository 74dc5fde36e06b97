//! Saved models: what is in them, and what becomes of an older one.

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rekindle_hub::{
    Checkpoint, Dtype, NamedTensor, SaveError, StoredType, companion_files, read_config,
    save_model, sweep_model,
};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use crate::{names, tiny_model, write_all};

fn config() -> Map<String, Value> {
    let config = json!({
        "model_type": "bert",
        "layer_norm_eps": 1e-12,
        "id2label": {"0": "a", "10": "c", "2": "b"},
        "architectures": ["BertForSequenceClassification"],
    });
    config.as_object().unwrap().clone()
}

fn tensor(name: &str, values: &[f32]) -> NamedTensor<'static> {
    let values = values.to_vec();
    NamedTensor::new(name, vec![values.len()], move || values)
}

fn save(folder: &Path, values: &[f32]) -> Result<(), SaveError> {
    save_model(
        folder,
        &config(),
        vec![tensor("x", values)],
        Path::new("no-companions"),
    )
}

fn saved(folder: &Path) -> Vec<f32> {
    Checkpoint::open(folder).unwrap().read_f32("x").unwrap()
}

#[test]
fn a_saved_model_is_read_back_as_it_was() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("runs/first/model");
    let values = [1.0, -2.5, f32::MIN_POSITIVE, 1e30];
    let matrix = NamedTensor::new("b", vec![2, 2], move || values.to_vec());
    let scalar = NamedTensor::new("a", vec![], || vec![7.0]);
    save_model(&folder, &config(), vec![matrix, scalar], parent.path()).unwrap();

    assert_eq!(names(&folder), ["config.json", "model.safetensors"]);
    assert_eq!(
        Value::Object(read_config(&folder).unwrap()),
        Value::Object(config())
    );
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (checkpoint.shape("a"), checkpoint.shape("b")),
        (Some(&[][..]), Some(&[2, 2][..]))
    );
    assert_eq!(checkpoint.read_f32("a").unwrap(), [7.0]);
    assert_eq!(checkpoint.read_f32("b").unwrap(), values);
}

#[test]
fn weights_are_rounded_to_the_nearest_number_of_their_type() {
    let parent = tempdir().unwrap();
    let values = [1.0, -2.5, 0.1, 65_504.0, 1e-9];
    let cases = [
        (
            StoredType::F16,
            Dtype::F16,
            [1.0, -2.5, 0.099_975_586, 65_504.0, 0.0],
        ),
        (
            StoredType::Bf16,
            Dtype::BF16,
            [1.0, -2.5, 0.100_097_656, 65_536.0, 9.968_062e-10],
        ),
    ];
    for (stored, dtype, expected) in cases {
        let folder = parent.path().join(stored.to_string());
        let tensor = tensor("x", &values).stored_as(stored);
        save_model(&folder, &config(), vec![tensor], parent.path()).unwrap();
        let checkpoint = Checkpoint::open(&folder).unwrap();
        assert_eq!(checkpoint.dtype("x"), Some(dtype));
        assert_eq!(checkpoint.read_f32("x").unwrap(), expected, "{stored}");
    }
}

#[test]
fn a_number_that_the_type_cannot_hold_is_not_made_infinite() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    let tensor = tensor("x", &[1.0, 1e30]).stored_as(StoredType::F16);
    let error = save_model(&folder, &config(), vec![tensor], parent.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `x` has values that f16 cannot hold"
    );
    assert!(error.hint().unwrap().contains("bf16"));
    assert!(!folder.exists());
}

#[test]
fn weights_are_marked_as_torch_weights_and_aligned() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&folder, &[1.0, 2.0]).unwrap();
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    let metadata = metadata.metadata().clone().unwrap();
    assert_eq!(
        metadata.into_iter().collect::<Vec<_>>(),
        [("format".to_owned(), "pt".to_owned())]
    );
}

#[test]
fn the_config_is_written_as_transformers_writes_it() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&folder, &[1.0]).unwrap();
    let expected = r#"{
  "architectures": [
    "BertForSequenceClassification"
  ],
  "id2label": {
    "0": "a",
    "2": "b",
    "10": "c"
  },
  "layer_norm_eps": 1e-12,
  "model_type": "bert"
}
"#;
    assert_eq!(
        fs::read_to_string(folder.join("config.json")).unwrap(),
        expected
    );
}

#[test]
fn tokenizer_files_are_copied_untouched() {
    let parent = tempdir().unwrap();
    let base = parent.path().join("base");
    write_all(&base, &tiny_model());
    let folder = parent.path().join("model");
    save_model(
        &folder,
        &config(),
        vec![tensor("x", &[1.0])],
        base.as_path(),
    )
    .unwrap();
    assert_eq!(
        names(&folder),
        [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    for name in companion_files()
        .iter()
        .filter(|name| base.join(name).exists())
    {
        assert_eq!(
            fs::read(folder.join(name)).unwrap(),
            tiny_model()[*name],
            "{name}"
        );
    }
}

#[test]
fn a_model_can_be_saved_over_its_own_base() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    write_all(&folder, &tiny_model());
    save_model(
        &folder,
        &config(),
        vec![tensor("x", &[1.0])],
        folder.as_path(),
    )
    .unwrap();
    assert_eq!(
        names(&folder),
        [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    assert_eq!(saved(&folder), [1.0]);
}

#[test]
fn a_newer_model_takes_the_place_of_an_older_one() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    fs::create_dir(&folder).unwrap();
    save(&folder, &[1.0]).unwrap();
    fs::write(folder.join("vocab.txt"), "old").unwrap();
    save(&folder, &[2.0, 3.0]).unwrap();
    assert_eq!(saved(&folder), [2.0, 3.0]);
    assert_eq!(names(&folder), ["config.json", "model.safetensors"]);
    assert_eq!(names(parent.path()), ["model"]);
}

#[test]
fn a_failed_save_leaves_the_older_model_and_nothing_else() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&folder, &[1.0]).unwrap();
    let save_with = |last| {
        save_model(
            &folder,
            &config(),
            vec![tensor("a", &[5.0]), last],
            parent.path(),
        )
    };

    let wrong = NamedTensor::new("b", vec![2, 2], || vec![0.0; 3]);
    let error = save_with(wrong).unwrap_err();
    assert_eq!(error.to_string(), "tensor `b` of shape [2, 2] has 3 values");
    let twice = save_with(tensor("a", &[6.0])).unwrap_err();
    assert_eq!(twice.to_string(), "two tensors are named `a`");
    let lost = NamedTensor::new("b", vec![1], || panic!("the device is gone"));
    catch_unwind(AssertUnwindSafe(|| save_with(lost))).unwrap_err();

    assert_eq!(saved(&folder), [1.0]);
    assert_eq!(names(parent.path()), ["model"]);
}

#[test]
fn what_a_killed_save_left_is_put_right() {
    let parent = tempdir().unwrap();
    let model = parent.path().join("model");
    save(&model, &[1.0]).unwrap();
    let aside = parent.path().join(".model.replaced-abc");
    fs::create_dir(&aside).unwrap();
    fs::rename(&model, aside.join("model")).unwrap();
    fs::create_dir(parent.path().join(".model.partial-def")).unwrap();
    fs::create_dir(parent.path().join(".models")).unwrap();
    sweep_model(&model).unwrap();
    assert_eq!(saved(&model), [1.0], "the older one is back");
    save(&model, &[2.0]).unwrap();
    fs::create_dir_all(aside.join("model")).unwrap();
    sweep_model(&model).unwrap();
    assert_eq!(saved(&model), [2.0], "the newer one stays");
    assert_eq!(names(parent.path()), [".models", "model"]);
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let parent = tempdir().unwrap();
    fs::write(parent.path().join("thesis.txt"), "years of work").unwrap();
    let error = save(parent.path(), &[1.0]).unwrap_err();
    assert!(matches!(error, SaveError::Occupied { .. }), "{error}");
    assert!(error.hint().unwrap().contains("another output folder"));
    assert_eq!(names(parent.path()), ["thesis.txt"]);
}

#[test]
fn a_target_below_a_file_cannot_be_written() {
    let parent = tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = save(&file.join("model"), &[1.0]).unwrap_err();
    assert!(error.to_string().starts_with("cannot write `"), "{error}");
    let error = save(&file, &[1.0]).unwrap_err();
    assert!(error.to_string().starts_with("cannot write `"), "{error}");
    assert_eq!(names(parent.path()), ["file"]);
}

#[test]
fn values_are_asked_for_one_tensor_at_a_time() {
    let parent = tempdir().unwrap();
    let asked = RefCell::new(Vec::new());
    let tensors = ["c", "a", "b"].map(|name| {
        let asked = &asked;
        NamedTensor::new(name, vec![1], move || {
            asked.borrow_mut().push(name);
            vec![1.0]
        })
    });
    save_model(
        &parent.path().join("model"),
        &config(),
        tensors.into(),
        parent.path(),
    )
    .unwrap();
    assert_eq!(*asked.borrow(), ["a", "b", "c"]);
}

#[cfg(unix)]
#[test]
fn other_users_may_read_a_saved_model() {
    use std::os::unix::fs::PermissionsExt;

    let parent = tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&folder, &[1.0]).unwrap();
    // Made as any program makes a folder and a file, so that the mask of the process is in them.
    let plain = parent.path().join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("file"), "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder), mode(&plain));
    for name in names(&folder) {
        assert_eq!(
            mode(&folder.join(&name)),
            mode(&plain.join("file")),
            "{name}"
        );
    }
}
