//! A fixture folder.

use std::env;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::backend::Backend;
use rekindle_data::{HiddenToken, LabelSet, TaskKind};
use rekindle_hub::{Checkpoint, TensorFile, read_config};
use rekindle_nn::{CheckpointNames, TensorSource, load};
use rekindle_train::batch::Row;
use rekindle_train::objective::{Objective, TagTarget, Target};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Class of a token that has none.
const IGNORED: i64 = -100;

/// A tiny model, its inputs and its reference numbers.
#[derive(Debug)]
pub struct Fixture {
    folder: PathBuf,
    /// The model's `config.json`.
    pub config: Map<String, Value>,
    /// Rows of each batch.
    pub batches: Vec<Vec<Row>>,
}

/// Twenty steps of training in the reference.
#[derive(Debug, Deserialize)]
pub(crate) struct Trajectory {
    pub(crate) loss: Vec<f64>,
    pub(crate) grad_norm: Vec<f64>,
    pub(crate) learning_rate: Vec<f64>,
}

#[derive(Deserialize)]
struct Inputs {
    batches: Vec<Vec<InputRow>>,
}

#[derive(Deserialize)]
struct InputRow {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    label: Value,
}

impl Fixture {
    /// Opens a folder.
    ///
    /// # Panics
    /// If the folder is not one that `reference.py` wrote.
    pub fn open(folder: &Path) -> Self {
        // As in the program: every number is the same with kernels and without.
        rekindle_nn::set_kernels(env::var_os("REKINDLE_KERNELS").is_none_or(|it| it != "off"));
        let config = read_config(folder).expect("a fixture has a config.json");
        let mut fixture = Self {
            folder: folder.to_owned(),
            config,
            batches: Vec::new(),
        };
        if folder.join("inputs.json").exists() {
            fixture.read_inputs(folder);
        }
        fixture
    }

    /// Opens a folder in `fixtures` of a crate's tests.
    ///
    /// # Panics
    /// As [`Fixture::open`].
    pub fn of(tests: &str, name: &str) -> Self {
        Self::open(&Path::new(tests).join("fixtures").join(name))
    }

    /// Takes the rows of another fixture of the same model.
    ///
    /// # Panics
    /// As [`Fixture::open`].
    pub fn read_inputs(&mut self, folder: &Path) {
        let inputs: Inputs = read_json(&folder.join("inputs.json"));
        let row = |row: InputRow| Row {
            target: target(&row.label),
            ids: row.ids,
            type_ids: row.type_ids,
            number: 0,
        };
        let batches = inputs.batches.into_iter();
        self.batches = batches
            .map(|rows| rows.into_iter().map(row).collect())
            .collect();
    }

    /// The same inputs, with the numbers of another folder.
    #[must_use]
    pub fn with_numbers_of(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The task and labels of the head.
    ///
    /// # Panics
    /// If there are no rows.
    pub fn objective(&self) -> Objective {
        let task = match &self.batches[0][0].target {
            Target::Class(_) => TaskKind::Classify,
            Target::Labels(_) => TaskKind::MultiLabel,
            Target::Number(_) => TaskKind::Regress,
            Target::Tags(_) => TaskKind::Tag,
            Target::Tokens(_) => TaskKind::Generate,
            Target::Vector(_) | Target::Words(_) => TaskKind::Distill,
            Target::Masked(_) => TaskKind::Mask,
        };
        // `config.json` leaves the map out where it is transformers' default of two labels.
        let outputs = self
            .config
            .get("id2label")
            .and_then(Value::as_object)
            .map_or(2, Map::len);
        let names = match task {
            TaskKind::Regress | TaskKind::Generate | TaskKind::Mask | TaskKind::Distill => 0,
            _ => outputs,
        };
        let names = (0..names).map(|id| format!("LABEL_{id}")).collect();
        Objective::new(task, LabelSet::from_names(names))
    }

    /// Reads a tensor of `expected.safetensors`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn expected(&self, name: &str) -> Vec<f32> {
        let file = TensorFile::open(&self.folder.join("expected.safetensors"));
        let values = file.expect("a fixture has expected numbers").read_f32(name);
        values.unwrap_or_else(|error| panic!("expected numbers hold `{name}`: {error}"))
    }

    /// A model with the weights.
    ///
    /// # Panics
    /// If any of its tensors is not in the checkpoint, or one of that is left.
    pub fn fill<B: Backend, M: Module<B>>(&self, model: M, names: &dyn CheckpointNames) -> M {
        let loaded = self.with_weights(|weights| load::<B, M>(model, weights, names, (0, 0.02)));
        let (model, report) = loaded.expect("a fixture fits its model");
        assert_eq!(report.fresh, [""; 0]);
        assert_eq!(report.unused, [""; 0]);
        model
    }

    /// Calls `use_source` with the weights.
    ///
    /// # Panics
    /// If there are none.
    pub fn with_weights<T>(&self, use_source: impl FnOnce(&TensorSource) -> T) -> T {
        let checkpoint = Checkpoint::open(&self.folder).expect("a fixture has weights");
        let shapes = checkpoint.names().map(|name| {
            (
                name.to_owned(),
                checkpoint
                    .shape(name)
                    .expect("a listed tensor has a shape")
                    .to_vec(),
            )
        });
        use_source(&TensorSource::new(shapes, |name| checkpoint.read_f32(name)))
    }

    pub(crate) fn trajectory(&self) -> Trajectory {
        read_json(&self.folder.join("trajectory.json"))
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn target(label: &Value) -> Target {
    match label {
        Value::Array(labels) if labels.len() == 4 && labels.iter().all(is_bit) => Target::Labels(
            labels
                .iter()
                .map(|label| label.as_i64() == Some(1))
                .collect(),
        ),
        Value::Object(tokens) if tokens.contains_key("hidden") => {
            Target::Masked(hidden(&tokens["hidden"]))
        }
        Value::Object(tokens) => Target::Tokens(
            tokens["tokens"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|weight| weight.as_f64().expect("a weight is a number") as f32)
                .collect(),
        ),
        Value::Array(classes) => Target::Tags(
            classes
                .iter()
                .enumerate()
                .filter_map(|(token, class)| {
                    let class = class.as_i64().filter(|&class| class != IGNORED)?;
                    Some(TagTarget {
                        class: usize::try_from(class).ok()?,
                        token: Some(token),
                    })
                })
                .collect(),
        ),
        Value::Number(number) if number.is_f64() => {
            Target::Number(number.as_f64().expect("it is a float"))
        }
        other => Target::Class(other.as_u64().expect("a class is an integer") as usize),
    }
}

/// The tokens that were hidden, from one id or [`IGNORED`] for each token.
fn hidden(labels: &Value) -> Vec<HiddenToken> {
    let labels = labels.as_array().into_iter().flatten().enumerate();
    let hidden = labels.filter_map(|(position, id)| {
        let id = id.as_i64().filter(|&id| id != IGNORED)?;
        Some(HiddenToken {
            position,
            id: u32::try_from(id).ok()?,
        })
    });
    hidden.collect()
}

fn is_bit(value: &Value) -> bool {
    matches!(value.as_i64(), Some(0 | 1))
}
