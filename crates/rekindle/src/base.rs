//! A pre-trained model on disk: the registry of architectures, loading and saving.
//!
//! To add an architecture: one line in [`Base::open`], and its crate in `Cargo.toml`.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::backend::Backend;
use rekindle_bert::{BertConfig, BertNames};
use rekindle_data::{LabelSet, TaskKind, TextTokenizer};
use rekindle_hub::{Checkpoint, NamedTensor, read_config, save_model};
use rekindle_nn::{CheckpointNames, LoadReport, TensorSource, export, load};
use rekindle_train::objective::Objective;
use serde_json::{Map, Value, json};

use crate::error::Error;

/// A model folder whose configuration and tokenizer have been read, and checked against each other; of
/// the weights, names and shapes.
#[derive(Debug)]
pub struct Base {
    /// The folder.
    pub folder: PathBuf,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// Sizes and rates of the encoder.
    pub config: BertConfig,
    json: Map<String, Value>,
    checkpoint: Checkpoint,
}

impl Base {
    /// Reads a model folder, without the values of its weights.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let json = read_config(folder)?;
        let model_type = json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !BertConfig::MODEL_TYPES.contains(&model_type) {
            return Err(Error::Architecture {
                path: folder.join("config.json"),
                model_type: model_type.to_owned(),
                known: BertConfig::MODEL_TYPES.to_vec(),
            });
        }
        let config = BertConfig::from_json(&json).map_err(|source| Error::Config {
            path: folder.join("config.json"),
            source,
        })?;
        let tokenizer = TextTokenizer::from_folder(folder)?;
        let (highest, rows) = (tokenizer.highest_id(), config.vocab_size);
        if highest as usize >= rows {
            return Err(Error::Vocabulary { highest, rows });
        }
        Ok(Self {
            folder: folder.to_owned(),
            tokenizer,
            config,
            json,
            checkpoint: Checkpoint::open(folder)?,
        })
    }

    /// The labels that the checkpoint's head gives, in the order of its outputs.
    pub fn labels(&self) -> Option<LabelSet> {
        let class = self.class()?;
        let Some(map) = self.json.get("id2label").and_then(Value::as_object) else {
            // transformers leaves the map out where it is its default of two labels.
            let names = ["LABEL_0", "LABEL_1"].map(str::to_owned);
            return class
                .contains("Classification")
                .then(|| LabelSet::from_names(names.to_vec()));
        };
        let mut names: Vec<(usize, String)> = map
            .iter()
            .filter_map(|(id, name)| Some((id.parse().ok()?, name.as_str()?.to_owned())))
            .collect();
        names.sort();
        Some(LabelSet::from_names(
            names.into_iter().map(|(_, name)| name).collect(),
        ))
    }

    /// The task of the checkpoint's head, by its class name and `problem_type`.
    pub fn task(&self) -> Option<TaskKind> {
        let class = self.class()?;
        if class.ends_with("ForTokenClassification") {
            return Some(TaskKind::Tag);
        }
        let outputs = self.labels().map_or(2, |labels| labels.len());
        let problem = self.json.get("problem_type").and_then(Value::as_str);
        class
            .ends_with("ForSequenceClassification")
            .then_some(match problem {
                Some("multi_label_classification") => TaskKind::MultiLabel,
                Some("regression") => TaskKind::Regress,
                None if outputs == 1 => TaskKind::Regress,
                _ => TaskKind::Classify,
            })
    }

    fn class(&self) -> Option<&str> {
        self.json
            .get("architectures")?
            .as_array()?
            .first()?
            .as_str()
    }

    /// Whether the checkpoint's head answers as this objective asks: the same task, the same labels.
    pub fn answers(&self, objective: &Objective) -> bool {
        let same_labels = || self.labels().as_ref() == Some(objective.labels());
        let task = objective.task();
        self.task() == Some(task) && (task == TaskKind::Regress || same_labels())
    }

    /// Whether the checkpoint has a last layer where a head for this task has it.
    pub fn has_head(&self, task: TaskKind) -> bool {
        let output = output_prefix(self.names(task));
        let mut names = self.checkpoint.names();
        names.any(|name| name.starts_with(&output))
    }

    /// Fills a model with the checkpoint's weights; what a head lacks is drawn from the seed, and so is
    /// its last layer if it is not kept.
    pub fn load<B: Backend, M: Module<B>>(
        &self,
        model: M,
        task: TaskKind,
        is_kept: bool,
        seed: u64,
    ) -> Result<(M, LoadReport), Error> {
        let names = &self.names(task);
        let checkpoint = &self.checkpoint;
        let output = output_prefix(*names);
        let shapes = checkpoint
            .names()
            .filter(|name| is_kept || !name.starts_with(&output))
            .filter_map(|name| Some((name.to_owned(), checkpoint.shape(name)?.to_vec())));
        let source = TensorSource::new(shapes, |name| checkpoint.read_f32(name));
        Ok(load::<B, M>(
            model,
            &source,
            names,
            (seed, self.config.initializer_range),
        )?)
    }

    /// Writes a model that was trained from this one, with the head of its objective.
    pub fn save<B: Backend, M: Module<B>>(
        &self,
        model: &M,
        objective: &Objective,
        folder: &Path,
    ) -> Result<(), Error> {
        let names = self.names(objective.task());
        let tensors = export::<B, M>(model, &names as &dyn CheckpointNames)
            .into_iter()
            .map(|tensor| NamedTensor::new(tensor.name, tensor.shape, tensor.values))
            .collect();
        let config = self.config_of(objective);
        Ok(save_model(folder, &config, tensors, &self.folder)?)
    }

    /// The names of the tensors of a model for this task.
    fn names(&self, task: TaskKind) -> BertNames {
        match task {
            TaskKind::Tag => BertNames::of_tagger(self.config.family),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress | TaskKind::Generate => {
                BertNames::of_classifier(self.config.family)
            }
        }
    }

    /// The `config.json` of a model with this objective, as transformers writes it.
    fn config_of(&self, objective: &Objective) -> Map<String, Value> {
        let (class, problem) = match objective.task() {
            TaskKind::Classify => (
                "SequenceClassification",
                Some("single_label_classification"),
            ),
            TaskKind::MultiLabel => ("SequenceClassification", Some("multi_label_classification")),
            TaskKind::Regress => ("SequenceClassification", Some("regression")),
            TaskKind::Tag => ("TokenClassification", None),
            TaskKind::Generate => ("CausalLM", None),
        };
        let default = vec!["LABEL_0".to_owned()];
        let labels = objective.labels().names();
        let labels = if labels.is_empty() { &default } else { labels };
        let names = labels.iter().enumerate();
        let id2label: Map<_, _> = names
            .clone()
            .map(|(id, l)| (id.to_string(), json!(l)))
            .collect();
        let label2id: Map<_, _> = names
            .map(|(id, label)| (label.clone(), json!(id)))
            .collect();
        let mut config = self.json.clone();
        config.insert(
            "architectures".into(),
            json!([format!("{}For{class}", self.config.class_prefix)]),
        );
        config.insert("id2label".into(), Value::Object(id2label));
        config.insert("label2id".into(), Value::Object(label2id));
        // Both spellings of the file's type that transformers has had; ours is always f32.
        config.shift_remove("torch_dtype");
        config.insert("dtype".into(), json!("float32"));
        match problem {
            Some(problem) => config.insert("problem_type".into(), json!(problem)),
            None => config.shift_remove("problem_type"),
        };
        config
    }
}

/// What the tensors of the last layer begin with.
fn output_prefix(names: BertNames) -> String {
    format!("{}.", names.output_layer())
}
