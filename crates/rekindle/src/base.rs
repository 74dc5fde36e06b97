//! A pre-trained model on disk: loading and saving.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use rekindle_bert::WordPredictor;
use rekindle_data::{LabelSet, Limit, Renderer, TaskKind, TextTokenizer};
use rekindle_hub::{
    Checkpoint, Companions, LoadError, NamedTensor, StoredType, is_adapter, read_config, save_model,
};
use rekindle_nn::{ExportedTensor, LoadReport, Model, TensorSource, export, export_scaffold, load};
use rekindle_train::objective::Objective;
use serde_json::{Map, Value, json};

use crate::adapter::Adapted;
use crate::architecture::Architecture;
use crate::error::Error;
use crate::generation_config;
use crate::rows::{Examples, Tokenized};
use crate::texts::TextsError;

/// A model folder whose configuration and tokenizer have been read, and checked against each other; of
/// the weights, names and shapes.
#[derive(Debug)]
pub struct Base {
    /// The folder; of a model from scratch, that of its tokenizer.
    pub folder: PathBuf,
    /// The configuration's file.
    pub(crate) config: PathBuf,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// Writes prompts, chats and texts as tokens; encoders have none.
    pub renderer: Option<Renderer>,
    /// Sizes and rates of the model.
    pub architecture: Architecture,
    json: Map<String, Value>,
    /// None where the model is made from scratch.
    checkpoint: Option<Checkpoint>,
    /// What was settled between configuration and tokenizer.
    pub(crate) notes: Vec<String>,
    /// What changes its weights, and answers in place of its head.
    pub(crate) adapted: Option<Adapted>,
}

impl Base {
    /// Reads a model folder, without the values of its weights; of an adapter, its base's folder too.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        if is_adapter(folder) {
            return Self::open_adapter(folder, None);
        }
        Self::open_model(folder)
    }

    /// Reads the folder of a full model.
    pub(crate) fn open_model(folder: &Path) -> Result<Self, Error> {
        let json = read_config(folder)?;
        let tokenizer = TextTokenizer::from_folder(folder)?;
        let mut base = Self::assemble(folder, folder.join("config.json"), json, tokenizer)?;
        base.checkpoint = Some(Checkpoint::open(folder)?);
        Ok(base)
    }

    /// Checks a configuration and a tokenizer against each other; there are no weights yet.
    pub(crate) fn assemble(
        folder: &Path,
        config: PathBuf,
        json: Map<String, Value>,
        tokenizer: TextTokenizer,
    ) -> Result<Self, Error> {
        let architecture = Architecture::read(&json, &config)?;
        let (highest, rows) = (tokenizer.highest_id(), architecture.vocab_size());
        if highest as usize >= rows {
            return Err(Error::Vocabulary { highest, rows });
        }
        let renderer = match &architecture {
            Architecture::Bert(_) => None,
            _ => Some(Renderer::with_config(folder, &tokenizer, &json)?),
        };
        Ok(Self {
            folder: folder.to_owned(),
            config,
            renderer,
            tokenizer,
            architecture,
            json,
            checkpoint: None,
            notes: Vec::new(),
            adapted: None,
        })
    }

    /// Whether there is no checkpoint, and all weights are drawn.
    pub(crate) fn is_from_scratch(&self) -> bool {
        self.checkpoint.is_none()
    }

    /// The weights, which a model from scratch has not.
    fn checkpoint(&self) -> Result<&Checkpoint, LoadError> {
        let missing = || LoadError::NoWeights {
            folder: self.folder.clone(),
        };
        self.checkpoint.as_ref().ok_or_else(missing)
    }

    /// The files that go with a model trained from this one.
    pub(crate) fn companions(&self) -> Result<Companions<'_>, Error> {
        let renderer = self.renderer.as_ref();
        let config = renderer.map(|renderer| generation_config::with_ends(&self.folder, renderer));
        Ok(Companions {
            folder: &self.folder,
            generation_config: config.transpose()?.flatten(),
        })
    }

    /// Takes fields of another `config.json` in place of its own.
    pub(crate) fn replace_config(&mut self, fields: &[&str], config: &Map<String, Value>) {
        for field in fields {
            if let Some(value) = config.get(*field) {
                self.json.insert((*field).to_owned(), value.clone());
            }
        }
    }

    /// Tokenizes examples as this model reads them.
    pub fn tokenize(
        &self,
        examples: &Examples,
        labels: &LabelSet,
        limit: Limit,
        prompt_loss_weight: f64,
    ) -> Result<Tokenized, Error> {
        match &self.renderer {
            Some(renderer) => examples.tokenize_generation(renderer, limit, prompt_loss_weight),
            None => examples.tokenize(&self.tokenizer, labels, limit),
        }
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
        if self.renderer.is_some() {
            return Some(TaskKind::Generate);
        }
        let class = self.class()?;
        if class.ends_with("ForTokenClassification") {
            return Some(TaskKind::Tag);
        }
        if class.ends_with("ForMaskedLM") {
            return Some(TaskKind::Mask);
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

    /// What a language model was trained for before: the next token, or hidden ones.
    pub(crate) fn own_objective(&self) -> Result<TaskKind, TextsError> {
        let task = self.task();
        task.filter(|task| matches!(task, TaskKind::Generate | TaskKind::Mask))
            .ok_or_else(|| TextsError::NoOwnObjective {
                path: self.folder.clone(),
            })
    }

    fn class(&self) -> Option<&str> {
        self.json
            .get("architectures")?
            .as_array()?
            .first()?
            .as_str()
    }

    /// What the model answers: by its own head, or by that of a task that is given; an error
    /// names `folder`, which may be an adapter's.
    pub(crate) fn objective(
        &self,
        folder: &Path,
        given: Option<TaskKind>,
    ) -> Result<Objective, Error> {
        let headless = || Error::Headless {
            path: folder.to_owned(),
            missing: vec!["`config.json` names no class with a head in `architectures`".to_owned()],
        };
        let task = given.or_else(|| self.task()).ok_or_else(headless)?;
        self.architecture.check(task, folder)?;
        let labels = match task {
            TaskKind::Regress | TaskKind::Generate | TaskKind::Mask => {
                LabelSet::from_names(Vec::new())
            }
            TaskKind::Distill => return Err(headless()),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Tag => {
                self.labels().ok_or_else(headless)?
            }
        };
        Ok(Objective::new(task, labels))
    }

    /// Whether the checkpoint's head answers as this objective asks: the same task, the same labels.
    pub fn answers(&self, objective: &Objective) -> bool {
        let same_labels = || self.labels().as_ref() == Some(objective.labels());
        let task = objective.task();
        // Whatever a checkpoint holds of a head for words is right for all words; a student has none of its own.
        if matches!(task, TaskKind::Mask | TaskKind::Distill) && self.adapted.is_none() {
            return true;
        }
        let has_labels = matches!(
            task,
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Tag
        );
        self.task() == Some(task) && (!has_labels || same_labels())
    }

    /// Whether the checkpoint has a last layer where a head for this task has it.
    pub fn has_head(&self, task: TaskKind) -> bool {
        let Some(output) = self.architecture.output_prefix(task) else {
            return true;
        };
        let mut names = self.checkpoint.iter().flat_map(Checkpoint::names);
        names.any(|name| name.starts_with(&output))
    }

    /// Fills a model with the checkpoint's weights; what a head lacks is drawn from the seed, and so is
    /// its last layer if it is not kept. Without a checkpoint all is drawn.
    pub(crate) fn load<B: Backend, M: Model<B>>(
        &self,
        model: M,
        task: TaskKind,
        is_kept: bool,
        seed: u64,
    ) -> Result<(M, LoadReport), Error> {
        if self.checkpoint.is_none() {
            return Ok(self.draw::<B, M>(model, task, seed));
        }
        let (model, report) = self.fill::<B, M>(model, (task, is_kept, seed), &Tensors::new())?;
        self.adapt_loaded::<B, M>(model, report, task)
    }

    /// Puts on a loaded model what changes its weights.
    fn adapt_loaded<B: Backend, M: Model<B>>(
        &self,
        model: M,
        report: LoadReport,
        task: TaskKind,
    ) -> Result<(M, LoadReport), Error> {
        let names = self.architecture.names(task);
        match &self.adapted {
            Some(adapted) => {
                let loaded = (model, report);
                let put = adapted.put_on::<B, M>(loaded, names.as_ref(), &self.folder)?;
                adapted.check_copies(&self.folder, &|wanted| {
                    let checkpoint = self.checkpoint()?;
                    let mut all = checkpoint.names();
                    let found = all.find(|name| names.canonical(name) == wanted);
                    let read = found.map(|name| checkpoint.read_f32(name));
                    read.transpose()
                })?;
                Ok(put)
            }
            None => Ok((model, report)),
        }
    }

    /// Fills a model with the checkpoint's weights without any adapter, or with others in their place.
    fn fill<B: Backend, M: Model<B>>(
        &self,
        model: M,
        (task, is_kept, seed): (TaskKind, bool, u64),
        others: &Tensors,
    ) -> Result<(M, LoadReport), Error> {
        let checkpoint = self.checkpoint()?;
        let output = self.architecture.output_prefix(task);
        let is_output = |name: &str| {
            output
                .as_ref()
                .is_some_and(|prefix| name.starts_with(prefix))
        };
        let shapes = checkpoint
            .names()
            .filter(|name| is_kept || !is_output(name))
            .filter_map(|name| Some((name.to_owned(), checkpoint.shape(name)?.to_vec())));
        let shapes = shapes.chain(
            others
                .iter()
                .map(|(name, (shape, _))| (name.clone(), shape.clone())),
        );
        let source = TensorSource::new(shapes, |name| match others.get(name) {
            Some((_, values)) => Ok(values.clone()),
            None => checkpoint.read_f32(name),
        });
        let names = self.architecture.names(task);
        let fresh = (seed, self.architecture.initializer_range());
        Ok(load::<B, M>(model, &source, names.as_ref(), fresh)?)
    }

    /// The base's own head for words on the body that a model has now.
    pub(crate) fn word_predictor<B: Backend, M: Model<B>>(
        &self,
        body: &M,
        task: TaskKind,
        device: &B::Device,
    ) -> Result<WordPredictor<B>, Error> {
        let Architecture::Bert(config) = &self.architecture else {
            return Err(Error::OtherKind {
                task: TaskKind::Mask,
                is_decoder: true,
            });
        };
        let names = self.architecture.names(task);
        let tensors = on_host(export::<B, M>(body, names.as_ref()));
        let predictor = config.word_predictor::<B>(device);
        let (predictor, _) = self.fill::<B, _>(predictor, (TaskKind::Mask, true, 0), &tensors)?;
        Ok(predictor)
    }

    /// Fills a model with what was saved of it, and with the scaffold that it had then.
    pub(crate) fn reload<B: Backend, M: Model<B>>(
        &self,
        model: M,
        task: TaskKind,
        scaffold: &Tensors,
    ) -> Result<M, Error> {
        let (model, report) = self.fill::<B, M>(model, (task, true, 0), scaffold)?;
        Ok(self.adapt_loaded::<B, M>(model, report, task)?.0)
    }

    /// What of a model serves training alone, and is not saved.
    pub(crate) fn scaffold<B: Backend, M: Model<B>>(&self, model: &M, task: TaskKind) -> Tensors {
        let names = self.architecture.names(task);
        on_host(export_scaffold::<B, M>(model, names.as_ref()))
    }

    /// [`Self::load`] of a model that is to answer: one without a trained head is refused.
    pub(crate) fn load_trained<B: Backend, M: Model<B>>(
        &self,
        model: M,
        task: TaskKind,
    ) -> Result<M, Error> {
        let (model, LoadReport { fresh, .. }) = self.load::<B, M>(model, task, true, 0)?;
        if fresh.is_empty() {
            return Ok(model);
        }
        Err(Error::Headless {
            path: self.folder.clone(),
            missing: fresh,
        })
    }

    /// Writes a model that was trained from this one, with the head of its objective.
    pub(crate) fn save<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        objective: &Objective,
        folder: &Path,
    ) -> Result<(), Error> {
        self.save_as::<B, M>(model, objective, (folder, StoredType::F32))
    }

    /// [`Self::save`] with the weights in another type.
    pub(crate) fn save_as<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        objective: &Objective,
        (folder, stored): (&Path, StoredType),
    ) -> Result<(), Error> {
        let names = self.architecture.names(objective.task());
        let tensors = tensors(export::<B, M>(model, names.as_ref())).into_iter();
        let tensors = tensors.map(|tensor| tensor.stored_as(stored)).collect();
        let mut config = self.config_of(objective);
        config.insert("dtype".into(), json!(stored.config_name()));
        Ok(save_model(folder, &config, tensors, self.companions()?)?)
    }

    /// The `config.json` of a model with this objective, as transformers writes it.
    pub(crate) fn config_of(&self, objective: &Objective) -> Map<String, Value> {
        let task = objective.task();
        let mut config = self.json.clone();
        let class = self.architecture.class(task);
        config.insert("architectures".into(), json!([class]));
        // Both spellings of the file's type that transformers has had.
        config.shift_remove("torch_dtype");
        config.insert("dtype".into(), json!(StoredType::F32.config_name()));
        if matches!(
            task,
            TaskKind::Generate | TaskKind::Mask | TaskKind::Distill
        ) {
            return config;
        }
        let [id2label, label2id] = label_maps(objective);
        config.insert("id2label".into(), Value::Object(id2label));
        config.insert("label2id".into(), Value::Object(label2id));
        let problem = match task {
            TaskKind::Classify => Some("single_label_classification"),
            TaskKind::MultiLabel => Some("multi_label_classification"),
            TaskKind::Regress => Some("regression"),
            TaskKind::Tag | TaskKind::Generate | TaskKind::Mask | TaskKind::Distill => None,
        };
        match problem {
            Some(problem) => config.insert("problem_type".into(), json!(problem)),
            None => config.shift_remove("problem_type"),
        };
        config
    }
}

/// Tensors by their names, with shape and values.
pub(crate) type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

fn on_host(exported: Vec<ExportedTensor>) -> Tensors {
    let named = |tensor: ExportedTensor| (tensor.name, (tensor.shape, (tensor.values)()));
    exported.into_iter().map(named).collect()
}

/// Tensors on their way into a file.
pub(crate) fn tensors(exported: Vec<ExportedTensor>) -> Vec<NamedTensor<'static>> {
    let named = |tensor: ExportedTensor| NamedTensor::new(tensor.name, tensor.shape, tensor.values);
    exported.into_iter().map(named).collect()
}

/// Names of the outputs by their ids, and ids by names.
fn label_maps(objective: &Objective) -> [Map<String, Value>; 2] {
    let default = vec!["LABEL_0".to_owned()];
    let labels = objective.labels().names();
    let labels = if labels.is_empty() { &default } else { labels };
    let names = labels.iter().enumerate();
    let id2label = names
        .clone()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    let label2id = names
        .map(|(id, label)| (label.clone(), json!(id)))
        .collect();
    [id2label, label2id]
}
