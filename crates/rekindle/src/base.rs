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

/// A model folder whose configuration and tokenizer have been read, and checked against each other.
#[derive(Debug)]
pub struct Base {
    /// The folder.
    pub folder: PathBuf,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// Sizes and rates of the encoder.
    pub config: BertConfig,
    json: Map<String, Value>,
}

impl Base {
    /// Reads a model folder, without its weights.
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
        let config = BertConfig::from_json(&json)?;
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
        })
    }

    /// The labels that the checkpoint's head gives, in the order of its outputs.
    pub fn labels(&self) -> Option<LabelSet> {
        let map = self.json.get("id2label")?.as_object()?;
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
        let class = self
            .json
            .get("architectures")?
            .as_array()?
            .first()?
            .as_str()?;
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

    /// Fills a model with the checkpoint's weights; a fresh head is drawn from the seed.
    pub fn load<B: Backend, M: Module<B>>(
        &self,
        model: M,
        names: &BertNames,
        seed: u64,
    ) -> Result<(M, LoadReport), Error> {
        let checkpoint = Checkpoint::open(&self.folder)?;
        let shapes = checkpoint
            .names()
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
        names: &BertNames,
        objective: &Objective,
        folder: &Path,
    ) -> Result<(), Error> {
        let tensors = export::<B, M>(model, names as &dyn CheckpointNames)
            .into_iter()
            .map(|tensor| NamedTensor::new(tensor.name, tensor.shape, tensor.values))
            .collect();
        let config = self.config_of(objective);
        Ok(save_model(folder, &config, tensors, &self.folder)?)
    }

    /// The names of the tensors of a model for this task.
    pub fn names(&self, task: TaskKind) -> BertNames {
        match task {
            TaskKind::Tag => BertNames::of_tagger(self.config.family),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress => {
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
