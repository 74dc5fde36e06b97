//! Models that are a low-rank adapter and the base that it names.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use rekindle_data::{Renderer, TaskKind};
use rekindle_hub::{
    Adapter, AdapterConfig, AdapterTargets, HubOptions, LoadError, ModelReference,
    read_adapted_config, resolve, save_adapter,
};
use rekindle_nn::{
    Adaptation, CheckpointNames, LoadReport, Lora, LoraError, Model, ParameterPath, Targets,
    TensorSource, WeightsError, export_adapter, has_output_layer, is_in_module, load_adapter,
    lora_scale,
};
use rekindle_train::objective::Objective;
use rekindle_train::recipe::{
    BUNDLED, LoraRecipe, MethodKind, MethodRecipe, Recipe, TargetsRecipe,
};
use serde_json::{Map, Value, json};

use crate::base::{Base, tensors};
use crate::error::Error;

/// The fields of a `config.json` that tell what a head answers.
const OF_HEAD: [&str; 5] = [
    "architectures",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
];

/// Gives a base's tensor of a name, if it has one.
pub(crate) type Original<'a> = dyn Fn(&str) -> Result<Option<Vec<f32>>, LoadError> + 'a;

/// An adapter that changes a base.
#[derive(Debug)]
pub(crate) struct Adapted {
    /// Its folder.
    pub(crate) folder: PathBuf,
    adapter: Adapter,
}

impl Base {
    /// Reads an adapter's folder, and its base: the folder given, or else the model that it names.
    pub fn open_adapter(folder: &Path, base: Option<&Path>) -> Result<Self, Error> {
        let adapter = Adapter::open(folder)?;
        let found = match base {
            Some(base) => base.to_owned(),
            None => find_base(folder, &adapter.config)?,
        };
        let mut base = Self::open_model(&found)?;
        let config = match read_adapted_config(folder)? {
            Some(config) => config,
            None => base.config_of_head(&adapter),
        };
        base.replace_config(&OF_HEAD, &config);
        // It may have been trained with a chat template of its own.
        if base.renderer.is_some() && folder.join("tokenizer_config.json").is_file() {
            base.renderer = Some(Renderer::open(folder, &base.tokenizer)?);
        }
        base.adapted = Some(Adapted {
            folder: folder.to_owned(),
            adapter,
        });
        Ok(base)
    }

    /// What a `config.json` would say of an adapter's head, from its task and the head's size: peft
    /// stores no labels.
    fn config_of_head(&self, adapter: &Adapter) -> Map<String, Value> {
        let mut config = Map::new();
        let task = match adapter.config.task_type.as_deref() {
            Some("SEQ_CLS") => TaskKind::Classify,
            Some("TOKEN_CLS") => TaskKind::Tag,
            _ => return config,
        };
        let class = self.architecture.class(task);
        config.insert("architectures".into(), json!([class]));
        let output = self.architecture.output_prefix(task).unwrap_or_default();
        let is_output = |(name, _): &(String, Vec<usize>)| *name == format!("{output}weight");
        let stored = adapter.shapes().find(is_output);
        let labels = self.labels().map(|labels| labels.len());
        if let Some((_, shape)) = stored.filter(|(_, shape)| labels != Some(shape[0])) {
            let names = (0..shape[0]).map(|id| (id.to_string(), json!(format!("LABEL_{id}"))));
            config.insert("id2label".into(), Value::Object(names.collect()));
        }
        config
    }

    /// Fills in what a recipe leaves open of adapters: of one that goes on, what it is.
    pub(crate) fn adapt(&self, recipe: &mut Recipe, task: TaskKind) -> Result<(), Error> {
        if let Some(adapted) = &self.adapted {
            let names = self.architecture.names(task);
            adapted.continue_in(&mut recipe.method, names.as_ref())?;
        } else if recipe.method.kind == MethodKind::Lora {
            recipe.method.set_lora(recipe.method.lora());
        }
        Ok(())
    }

    /// Writes the adapter of a model that was trained from this one.
    pub(crate) fn save_adapter<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        objective: &Objective,
        config: &AdapterConfig,
        folder: &Path,
    ) -> Result<(), Error> {
        let names = self.architecture.names(objective.task());
        let saved = &config.modules_to_save;
        let tensors = tensors(export_adapter::<B, M>(model, names.as_ref(), saved));
        let adapted = self.config_of(objective);
        save_adapter(folder, config, &adapted, tensors, self.companions()?)?;
        Ok(())
    }

    /// Writes the adapter of a model as it is.
    pub(crate) fn copy_adapter<B: Backend, M: Model<B>>(
        &self,
        model: &M,
        objective: &Objective,
        folder: &Path,
    ) -> Result<(), Error> {
        let Some(adapted) = &self.adapted else {
            return Ok(());
        };
        let names = self.architecture.names(objective.task());
        let config = AdapterConfig {
            base: placed(&adapted.config().base, &adapted.folder),
            modules_to_save: adapted.saved(names.as_ref()),
            ..adapted.config().clone()
        };
        self.save_adapter::<B, M>(model, objective, &config, folder)
    }

    /// How an adapter that a run trains will be described.
    pub(crate) fn adapter_config(
        &self,
        recipe: &Recipe,
        task: TaskKind,
        adaptation: &Adaptation,
    ) -> AdapterConfig {
        let (base, revision) = match &self.adapted {
            Some(Adapted { adapter, folder }) => (
                placed(&adapter.config.base, folder),
                adapter.config.revision.clone(),
            ),
            // Its name means nothing to peft, and its folder is one like any other.
            None if recipe.model.base == BUNDLED => (self.folder.display().to_string(), None),
            None => reference(&recipe.model.base),
        };
        let LoraRecipe {
            rank,
            alpha,
            dropout,
            targets: _,
            rslora,
            modules_to_save: _,
        } = recipe.method.lora();
        let task_type = match task {
            TaskKind::Tag => Some("TOKEN_CLS"),
            TaskKind::Generate => Some("CAUSAL_LM"),
            TaskKind::Classify | TaskKind::MultiLabel | TaskKind::Regress => Some("SEQ_CLS"),
            // peft has no name for it.
            TaskKind::Mask => None,
            TaskKind::Distill => Some("FEATURE_EXTRACTION"),
        };
        // Of a layer in the middle of the model: an output layer may be stored otherwise.
        let weight = ParameterPath {
            name: "layer.weight".to_owned(),
            layer: "Linear".to_owned(),
        };
        AdapterConfig {
            base,
            revision,
            task_type: task_type.map(str::to_owned),
            rank,
            alpha,
            dropout,
            is_rank_stabilized: rslora,
            targets: AdapterTargets::Names(adaptation.modules.clone()),
            modules_to_save: adaptation.saved.clone(),
            is_fan_in_fan_out: !self.architecture.names(task).is_transposed(&weight),
        }
    }
}

impl Adapted {
    /// Its configuration.
    pub(crate) fn config(&self) -> &AdapterConfig {
        &self.adapter.config
    }

    /// The modules beside the adapters that it holds; peft names some that few models have.
    fn saved(&self, names: &dyn CheckpointNames) -> Vec<String> {
        let stored = self
            .adapter
            .shapes()
            .map(|(name, _)| names.canonical(&name));
        let stored = stored.filter(|name| !name.contains(".lora_"));
        let ends = &self.adapter.config.modules_to_save;
        let mut saved: Vec<String> = Vec::new();
        for name in stored {
            let end = ends.iter().find(|end| is_in_module(&name, end));
            let module = name.rsplit_once('.').map_or("", |(module, _)| module);
            let end = end.map_or(module, String::as_str);
            if !saved.iter().any(|known| known == end) {
                saved.push(end.to_owned());
            }
        }
        saved
    }

    fn lora(&self, names: &dyn CheckpointNames) -> Result<Lora, Error> {
        let config = self.config();
        let targets = match &config.targets {
            AdapterTargets::Text(text) => Targets::from_text(text)?,
            AdapterTargets::Names(names) => Targets::Names(names.clone()),
        };
        Ok(Lora {
            rank: config.rank,
            scale: lora_scale(config.alpha, config.rank, config.is_rank_stabilized),
            dropout: config.dropout,
            targets,
            modules_to_save: self.saved(names),
            // Every value comes from the file.
            seed: 0,
        })
    }

    /// Puts the adapter on a model that holds its base's weights.
    pub(crate) fn put_on<B: Backend, M: Model<B>>(
        &self,
        (mut model, mut report): (M, LoadReport),
        names: &dyn CheckpointNames,
        base: &Path,
    ) -> Result<(M, LoadReport), Error> {
        self.refuse_tied::<B, M>(&mut model, names, base)?;
        let misfit = |source: Box<dyn std::error::Error + Send + Sync>| Error::OtherBase {
            adapter: self.folder.clone(),
            base: base.to_owned(),
            source,
        };
        let lora = self.lora(names)?;
        let applied = lora.apply::<B, M>(model, names);
        let (model, adaptation) = applied.map_err(|error| match error {
            LoraError::Tied { .. } => Error::Adapt(error),
            error => misfit(error.into()),
        })?;
        let source = TensorSource::new(self.adapter.shapes(), |name| self.adapter.read_f32(name));
        let loaded = load_adapter::<B, M>(model, &source, names, &adaptation.saved);
        let model = loaded.map_err(|error| match error {
            WeightsError::Misfit { ref mismatched, .. } if mismatched.is_empty() => {
                Error::IncompleteAdapter {
                    adapter: self.folder.clone(),
                    source: Box::new(error),
                }
            }
            error => misfit(error.into()),
        })?;
        let is_stored = |name: &String| adaptation.saved.iter().any(|end| is_in_module(name, end));
        report.fresh.retain(|name| !is_stored(name));
        report.replaced.retain(|found| !is_stored(&found.name));
        report.loaded.extend(
            self.adapter
                .shapes()
                .map(|(name, _)| names.canonical(&name)),
        );
        Ok((model, report))
    }

    /// Refuses what would change the output layer of a base that has none apart from its embedding.
    fn refuse_tied<B: Backend, M: Model<B>>(
        &self,
        model: &mut M,
        names: &dyn CheckpointNames,
        base: &Path,
    ) -> Result<(), Error> {
        let output = format!("{}.", names.output_module());
        let stored = self.adapter.shapes().map(|(name, _)| name);
        let changing = stored.filter(|name| names.canonical(name).starts_with(&output));
        let tensors: Vec<String> = changing.map(|name| format!("`{name}`")).collect();
        if tensors.is_empty() || has_output_layer::<B, M>(model, names) {
            return Ok(());
        }
        Err(Error::TiedOutput {
            adapter: self.folder.clone(),
            base: base.to_owned(),
            tensors,
        })
    }

    /// Refuses copies of the base's tensors that are none. `original` gives the base's tensor of a name.
    pub(crate) fn check_copies(&self, base: &Path, original: &Original) -> Result<(), Error> {
        for (tensor, of_base) in self.adapter.copies() {
            let copy = self.adapter.read_f32(&tensor)?;
            let is_same = original(&of_base)?.is_some_and(|original| {
                let pairs = copy.iter().zip(&original);
                copy.len() == original.len() && pairs.into_iter().all(|(a, b)| is_near(*a, *b))
            });
            if !is_same {
                return Err(Error::ChangedLayer {
                    adapter: self.folder.clone(),
                    base: base.to_owned(),
                    tensor,
                });
            }
        }
        Ok(())
    }

    /// Fills a recipe with what the adapter is; one that asks for another is refused.
    pub(crate) fn continue_in(
        &self,
        method: &mut MethodRecipe,
        names: &dyn CheckpointNames,
    ) -> Result<(), Error> {
        let refused = |key: &'static str, found: String| Error::OtherAdapter {
            adapter: self.folder.clone(),
            key,
            found,
        };
        if !matches!(method.kind, MethodKind::Full | MethodKind::Lora) {
            return Err(refused("method.kind", "lora".to_owned()));
        }
        let config = self.config();
        let own = LoraRecipe {
            rank: config.rank,
            alpha: config.alpha,
            dropout: method.dropout.unwrap_or(config.dropout),
            targets: match &config.targets {
                AdapterTargets::Text(text) => TargetsRecipe::Text(text.clone()),
                AdapterTargets::Names(names) => TargetsRecipe::Names(names.clone()),
            },
            rslora: config.is_rank_stabilized,
            modules_to_save: self.saved(names),
        };
        let asked = method.lora();
        if method.rank.is_some() && asked.rank != own.rank {
            return Err(refused("method.rank", own.rank.to_string()));
        }
        if method.alpha.is_some() && asked.alpha != own.alpha {
            return Err(refused("method.alpha", own.alpha.to_string()));
        }
        if method.rslora.is_some() && asked.rslora != own.rslora {
            return Err(refused("method.rslora", own.rslora.to_string()));
        }
        if method.targets.is_some() && asked.targets != own.targets {
            return Err(refused("method.targets", own.targets.to_string()));
        }
        if method.modules_to_save.is_some() && asked.modules_to_save != own.modules_to_save {
            let found = own.modules_to_save.join(", ");
            return Err(refused("method.modules_to_save", found));
        }
        method.kind = MethodKind::Lora;
        method.set_lora(own);
        Ok(())
    }
}

/// Whether two numbers are equal but for the rounding of one of them to 16 bits.
fn is_near(a: f32, b: f32) -> bool {
    (a - b).abs() <= a.abs().max(b.abs()) / 128.0
}

/// The folder of an adapter's base.
fn find_base(adapter: &Path, config: &AdapterConfig) -> Result<PathBuf, Error> {
    // A base may have moved together with its adapter.
    let beside = adapter.join(&config.base);
    let text = match &config.revision {
        _ if Path::new(&config.base).is_dir() => config.base.clone(),
        _ if beside.is_dir() => beside.display().to_string(),
        Some(revision) => format!("{}@{revision}", config.base),
        None => config.base.clone(),
    };
    resolve(&text, &HubOptions::from_env(), &mut ()).map_err(|source| Error::NoBase {
        adapter: adapter.to_owned(),
        base: config.base.clone(),
        source: Box::new(source),
    })
}

/// A base's name as it reads from any folder: a folder by its whole path.
fn placed(base: &str, adapter: &Path) -> String {
    let beside = adapter.join(base);
    let folder = match Path::new(base).is_dir() {
        true => Path::new(base),
        false if beside.is_dir() => &beside,
        false => return base.to_owned(),
    };
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    whole.display().to_string()
}

/// What an adapter calls the base that a user named, and its revision.
fn reference(base: &str) -> (String, Option<String>) {
    match ModelReference::parse(base) {
        Ok(ModelReference::Hub { id, revision }) => (id, revision),
        Ok(ModelReference::Folder(folder)) => {
            (placed(&folder.display().to_string(), Path::new("")), None)
        }
        Err(_) => (base.to_owned(), None),
    }
}
