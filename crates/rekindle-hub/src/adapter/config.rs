//! `adapter_config.json`: what is read of peft's fields, and what is written.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::AdapterError;
use crate::load_error::LoadError;

/// A LoRA adapter's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// The model that it changes: a folder or an id.
    pub base: String,
    /// The revision of that id.
    pub revision: Option<String>,
    /// `SEQ_CLS`, `TOKEN_CLS` or `CAUSAL_LM`; peft's users may leave it out.
    pub task_type: Option<String>,
    /// Rank.
    pub rank: usize,
    /// Scale, which the rank divides.
    pub alpha: f64,
    /// Dropout before the adapters.
    pub dropout: f64,
    /// Whether the root of the rank divides the scale.
    pub is_rank_stabilized: bool,
    /// The layers that have an adapter.
    pub targets: AdapterTargets,
    /// Modules that are trained in full: ends of their names.
    pub modules_to_save: Vec<String>,
    /// Whether the layers hold their weights as `[inputs, outputs]`: GPT-2's do.
    pub is_fan_in_fan_out: bool,
}

/// Which layers have an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterTargets {
    /// `all-linear`, or a regular expression for whole names.
    Text(String),
    /// Names, or ends of names.
    Names(Vec<String>),
}

/// The fields that are read.
const READ: [&str; 12] = [
    "peft_type",
    "base_model_name_or_path",
    "revision",
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "target_modules",
    "modules_to_save",
    "fan_in_fan_out",
    "bias",
];

/// Fields that change nothing in what an adapter computes.
const HARMLESS: [&str; 8] = [
    "auto_mapping",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "loftq_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
];

/// Initial values that leave the base as it is.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

impl AdapterConfig {
    /// Reads a file, and refuses what would have to be ignored.
    pub(super) fn read(path: &Path) -> Result<Self, AdapterError> {
        let bytes = fs::read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let json = serde_json::from_slice(&bytes).map_err(|source| LoadError::Json {
            path: path.to_owned(),
            source,
        })?;
        refuse_unsupported(&json, path)?;
        Self::from_json(&json).map_err(|field| AdapterError::Field {
            path: path.to_owned(),
            field,
        })
    }

    /// Reads the fields; the error is the first that is missing or of another type.
    fn from_json(json: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |field: &str| json.get(field).and_then(Value::as_str).map(str::to_owned);
        let flag = |field: &str| json.get(field).and_then(Value::as_bool).unwrap_or(false);
        let number = |field: &'static str| json.get(field).and_then(Value::as_f64);
        let targets = match json.get("target_modules") {
            Some(Value::String(text)) => AdapterTargets::Text(text.clone()),
            Some(list) => AdapterTargets::Names(names(list).ok_or("target_modules")?),
            None => return Err("target_modules"),
        };
        let modules_to_save = match json.get("modules_to_save") {
            None | Some(Value::Null) => Vec::new(),
            Some(list) => names(list).ok_or("modules_to_save")?,
        };
        let rank = json.get("r").and_then(Value::as_u64).ok_or("r")? as usize;
        let alpha = number("lora_alpha").ok_or("lora_alpha")?;
        let dropout = number("lora_dropout").unwrap_or(0.0);
        if rank == 0 {
            return Err("r");
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err("lora_dropout");
        }
        Ok(Self {
            base: text("base_model_name_or_path").ok_or("base_model_name_or_path")?,
            revision: text("revision"),
            task_type: text("task_type"),
            rank,
            alpha,
            dropout,
            is_rank_stabilized: flag("use_rslora"),
            targets,
            modules_to_save,
            is_fan_in_fan_out: flag("fan_in_fan_out"),
        })
    }

    /// The file, as peft writes it.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let Self {
            base,
            revision,
            task_type,
            rank,
            alpha,
            dropout,
            is_rank_stabilized,
            targets,
            modules_to_save,
            is_fan_in_fan_out,
        } = self;
        let targets = match targets {
            AdapterTargets::Text(text) => json!(text),
            AdapterTargets::Names(names) => json!(names),
        };
        let is_whole = alpha.fract() == 0.0;
        let alpha = if is_whole {
            json!(*alpha as i64)
        } else {
            json!(alpha)
        };
        let saved = (!modules_to_save.is_empty()).then_some(modules_to_save);
        let fields = json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": is_fan_in_fan_out,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "loftq_config": {},
            "lora_alpha": alpha,
            "lora_dropout": dropout,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": saved,
            "peft_type": "LORA",
            "r": rank,
            "rank_pattern": {},
            "revision": revision,
            "target_modules": targets,
            "task_type": task_type,
            "use_dora": false,
            "use_rslora": is_rank_stabilized,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// Refuses another kind of adapter, and every field that is set and not understood.
fn refuse_unsupported(json: &Map<String, Value>, path: &Path) -> Result<(), AdapterError> {
    let path = || path.to_owned();
    let kind = json.get("peft_type").and_then(Value::as_str);
    if kind != Some("LORA") {
        return Err(AdapterError::Kind {
            path: path(),
            found: kind.unwrap_or_default().to_owned(),
        });
    }
    let is_known = |field: &str| READ.contains(&field) || HARMLESS.contains(&field);
    let mut features: Vec<String> = json
        .iter()
        .filter(|(field, value)| !is_known(field) && is_set(value))
        .map(|(field, value)| format!("{field}: {value}"))
        .collect();
    if json.get("bias").is_some_and(|bias| bias != "none") {
        features.push(format!("bias: {}", json["bias"]));
    }
    // Others change the base's weights as they begin.
    if let Some(Value::String(start)) = json.get("init_lora_weights")
        && !PLAIN_STARTS.contains(&start.as_str())
    {
        features.push(format!("init_lora_weights: {start:?}"));
    }
    if features.is_empty() {
        return Ok(());
    }
    Err(AdapterError::Unsupported {
        path: path(),
        features,
    })
}

/// Whether a field says anything.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn names(list: &Value) -> Option<Vec<String>> {
    let names = list.as_array()?.iter();
    names
        .map(|name| name.as_str().map(str::to_owned))
        .collect::<Option<_>>()
}
