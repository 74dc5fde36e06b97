//! Adapter folders: what peft writes is read, what is written is peft's, and the rest is refused.

use std::fs;
use std::path::Path;

use rekindle_hub::{
    Adapter, AdapterConfig, AdapterError, AdapterTargets, NamedTensor, is_adapter, save_adapter,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// What peft 0.21 writes, with the fields that matter changed.
fn peft(fields: Value) -> Value {
    let mut config = json!({
        "alora_invocation_tokens": null, "alpha_pattern": {}, "auto_mapping": null,
        "base_model_name_or_path": "org/name", "bias": "none", "corda_config": null,
        "ensure_weight_tying": false, "fan_in_fan_out": false, "inference_mode": true,
        "init_lora_weights": true, "layers_to_transform": null, "loftq_config": {},
        "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.1, "megatron_core": "megatron.core",
        "modules_to_save": ["classifier", "score"], "peft_type": "LORA", "peft_version": "0.21.2",
        "qalora_group_size": 16, "r": 2, "rank_pattern": {}, "revision": null,
        "target_modules": ["query", "value"], "task_type": "SEQ_CLS", "use_dora": false,
        "use_rslora": true,
    });
    let object = config.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    config
}

fn folder(config: &Value, weights: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("adapter_config.json"),
        config.to_string(),
    )
    .unwrap();
    for (name, bytes) in weights {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn refusal(fields: Value) -> String {
    let weights = crate::weights(&["base_model.model.a.lora_A.weight"]);
    let folder = folder(&peft(fields), &[("adapter_model.safetensors", &weights)]);
    let error = Adapter::open(folder.path()).expect_err("the adapter is refused");
    assert!(error.hint().is_some());
    let path = folder.path().display().to_string();
    error.to_string().replace(&path, "[folder]")
}

#[test]
fn an_adapter_of_peft_is_read() {
    let weights = crate::weights(&["base_model.model.a.lora_A.weight"]);
    let folder = folder(&peft(json!({})), &[("adapter_model.safetensors", &weights)]);
    assert!(is_adapter(folder.path()));
    let adapter = Adapter::open(folder.path()).unwrap();
    let expected = AdapterConfig {
        base: "org/name".into(),
        revision: None,
        task_type: Some("SEQ_CLS".into()),
        rank: 2,
        alpha: 8.0,
        dropout: 0.1,
        is_rank_stabilized: true,
        targets: AdapterTargets::Names(vec!["query".into(), "value".into()]),
        modules_to_save: vec!["classifier".into(), "score".into()],
        is_fan_in_fan_out: false,
    };
    assert_eq!(adapter.config, expected);
    let shapes: Vec<_> = adapter.shapes().collect();
    assert_eq!(shapes, [("a.lora_A.weight".to_owned(), vec![10, 100])]);
    assert_eq!(adapter.read_f32("a.lora_A.weight").unwrap()[999], 999.0);
}

#[test]
fn an_adapter_that_was_written_is_read_as_it_was() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("adapter");
    let config = AdapterConfig {
        base: "org/name".into(),
        revision: Some("v1".into()),
        task_type: Some("CAUSAL_LM".into()),
        rank: 3,
        alpha: 4.5,
        dropout: 0.0,
        is_rank_stabilized: false,
        targets: AdapterTargets::Text(".*proj".into()),
        modules_to_save: Vec::new(),
        is_fan_in_fan_out: true,
    };
    let tensor = || NamedTensor::new("a.lora_B.weight", vec![1, 2], || vec![1.0, 2.0]);
    let model = Map::from_iter([("model_type".to_owned(), json!("gpt2"))]);
    let save = || {
        save_adapter(
            &target,
            &config,
            &model,
            vec![tensor()],
            Path::new("nowhere"),
        )
    };
    save().unwrap();
    // An adapter takes the place of an older one.
    save().unwrap();
    let names = crate::names(&target);
    let expected = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
    ];
    assert_eq!(names, expected);
    let adapter = Adapter::open(&target).unwrap();
    assert_eq!(adapter.config, config);
    assert_eq!(adapter.read_f32("a.lora_B.weight").unwrap(), [1.0, 2.0]);
    let bytes = fs::read(target.join("adapter_model.safetensors")).unwrap();
    let name = b"base_model.model.a.lora_B.weight";
    assert!(bytes.windows(name.len()).any(|window| window == name));
}

#[test]
fn what_would_have_to_be_ignored_is_refused_by_name() {
    assert_eq!(
        refusal(json!({"use_dora": true, "rank_pattern": {"a": 4}, "bias": "all"})),
        "`[folder]/adapter_config.json` uses what is not supported: `rank_pattern: {\"a\":4}`, \
         `use_dora: true`, `bias: \"all\"`"
    );
    for field in [
        json!({"alpha_pattern": {"a": 4}}),
        json!({"layers_to_transform": [0]}),
        json!({"lora_bias": true}),
        json!({"init_lora_weights": "pissa"}),
        json!({"a_field_of_tomorrow": 1}),
    ] {
        let name = field.as_object().unwrap().keys().next().unwrap().clone();
        let told = refusal(field);
        assert!(
            told.contains(&format!("not supported: `{name}: ")),
            "{told}"
        );
    }
    assert_eq!(
        refusal(json!({"peft_type": "PREFIX_TUNING"})),
        "`[folder]/adapter_config.json` is an adapter of type `PREFIX_TUNING`, not `LORA`"
    );
}

#[test]
fn unusable_fields_are_named() {
    for (field, value) in [
        ("r", json!(0)),
        ("lora_alpha", json!("8")),
        ("lora_dropout", json!(1.5)),
        ("target_modules", json!(3)),
        ("modules_to_save", json!([3])),
        ("base_model_name_or_path", json!(null)),
    ] {
        assert_eq!(
            refusal(json!({field: value})),
            format!("`[folder]/adapter_config.json` has no usable `{field}`")
        );
    }
}

#[test]
fn pickles_and_absent_weights_are_refused() {
    let old = folder(&peft(json!({})), &[("adapter_model.bin", b"pickle")]);
    let error = Adapter::open(old.path()).unwrap_err();
    assert!(matches!(error, AdapterError::OldWeights { .. }));
    assert!(error.hint().unwrap().contains("load it with peft"));
    let none = folder(&peft(json!({})), &[]);
    let error = Adapter::open(none.path()).unwrap_err();
    assert!(matches!(error, AdapterError::NoWeights { .. }));
}
