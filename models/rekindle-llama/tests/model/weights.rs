//! Which tensors of a checkpoint are taken, passed over, missed and written.

use std::path::Path;

use burn_flex::{Flex, FlexDevice};
use rekindle_hub::{Checkpoint, LoadError, read_config};
use rekindle_llama::{LlamaConfig, LlamaLm, LlamaNames};
use rekindle_nn::{LoadReport, TensorSource, WeightsError, export, load};

/// Loads a fixture's weights under the names that `rename` gives them, with tensors of one number more.
fn load_as(
    name: &str,
    rename: impl Fn(&str) -> Option<String>,
    more: &[&str],
) -> Result<(LlamaLm<Flex>, LlamaNames, LoadReport), WeightsError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let config = LlamaConfig::from_json(&read_config(&folder).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let stored = |new: &str| {
        checkpoint
            .names()
            .find(|name| rename(name).as_deref() == Some(new))
    };
    let renamed = checkpoint.names().filter_map(|name| {
        let shape = checkpoint.shape(name).unwrap().to_vec();
        Some((rename(name)?, shape))
    });
    let more = more.iter().map(|name| ((*name).to_owned(), vec![1]));
    let source = TensorSource::new(renamed.chain(more), |name| {
        let read = stored(name).map(|name| checkpoint.read_f32(name));
        read.unwrap_or_else(|| Ok::<_, LoadError>(vec![0.0]))
    });
    let names = LlamaNames::new(config.is_tied);
    let model = config.causal_lm::<Flex>(&FlexDevice);
    load(model, &source, &names, (0, 0.02)).map(|(model, report)| (model, names, report))
}

#[test]
fn a_decoder_without_a_prefix_and_with_old_buffers_is_taken_whole() {
    let bare = |name: &str| Some(name.trim_start_matches("model.").to_owned());
    let more = ["layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"];
    let (_, _, report) = load_as("llama-mqa", bare, &more).unwrap();
    assert_eq!(report.unused, [""; 0]);
    assert_eq!(report.fresh, [""; 0]);
    assert_eq!(report.loaded.len(), 20);
}

#[test]
fn a_tied_model_writes_its_weight_once() {
    let written = |name| {
        let (model, names, _) = load_as(name, |name| Some(name.to_owned()), &[]).unwrap();
        let tensors = export::<Flex, _>(&model, &names).into_iter();
        tensors.map(|tensor| tensor.name).collect::<Vec<_>>()
    };
    assert!(!written("llama-mqa").contains(&"lm_head.weight".to_owned()));
    assert!(written("llama-mha").contains(&"lm_head.weight".to_owned()));
}

#[test]
fn an_untied_model_without_its_output_layer_is_refused() {
    let bare = |name: &str| (name != "lm_head.weight").then(|| name.to_owned());
    let Err(WeightsError::Misfit { missing, .. }) = load_as("llama-mha", bare, &[]) else {
        panic!("the output layer is missed");
    };
    let missing: Vec<String> = missing.into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["lm_head.weight"]);
}
