//! What is proved of adapters against peft: logits, loss, gradients, twenty training steps, and merging.

use std::path::Path;

use rekindle_hub::{Adapter, AdapterTargets};
use rekindle_nn::{CheckpointNames, Lora, Targets, TensorSource, load_adapter, lora_scale, merge};
use rekindle_train::batch::Layout;
use rekindle_train::task::{Inner, TrainableBackend, TrainableModel, TrainableTask};

use crate::ladder::{climb_from_logits, follow};
use crate::{Fixture, Subject, assert_close};

/// A merged adapter adds up the same products in another order.
const MERGED: f64 = 1e-5;

/// Puts a peft adapter on a subject that holds its base's weights, and compares what it computes with the
/// numbers in the adapter's folder, for the inputs of `fixture`; `saved` are the modules that it trains in
/// full.
///
/// # Panics
/// At the first number that differs.
pub fn adapter_equals_peft<B, M, T>(
    (fixture, folder): (Fixture, &Path),
    subject: Subject<B, M, T>,
    (names, saved): (&dyn CheckpointNames, &[&str]),
    gradient_tolerance: f64,
) where
    B: TrainableBackend,
    M: TrainableModel<B>,
    T: TrainableTask<B, M>,
{
    let adapter = Adapter::open(folder).expect("peft's adapter is read");
    let saved: Vec<String> = saved.iter().map(|&name| name.to_owned()).collect();
    let lora = lora(&adapter, saved.clone());
    let (model, _) = lora
        .apply::<B, M>(subject.model.clone(), names)
        .expect("the adapter suits its base");
    let source = TensorSource::new(adapter.shapes(), |name| adapter.read_f32(name));
    let model = load_adapter::<B, M>(model, &source, names, &saved).expect("it fits its base");
    let subject = Subject::new(model, subject.task, subject.objective, subject.rows);
    let expected = fixture.with_numbers_of(folder);
    for layout in [Layout::Ragged, Layout::Padded { multiple: 8 }] {
        climb_from_logits(&expected, &subject, names, (layout, gradient_tolerance));
        follow(&expected, &subject, subject.model.clone(), layout);
    }
    let merged = merge::<B, M>(subject.model.clone()).expect("it has adapters");
    let device = subject.model.devices().remove(0);
    let outputs = |model: &M| {
        let runner = subject.runner(Layout::Ragged, 4);
        runner
            .outputs::<Inner<B>, _>(&model.valid(), &subject.rows, &device)
            .concat()
    };
    let (found, kept) = (outputs(&merged), outputs(&subject.model));
    assert_close("outputs of the merged model", &found, &kept, MERGED);
}

fn lora(adapter: &Adapter, modules_to_save: Vec<String>) -> Lora {
    let config = &adapter.config;
    Lora {
        rank: config.rank,
        scale: lora_scale(config.alpha, config.rank, config.is_rank_stabilized),
        dropout: config.dropout,
        targets: match &config.targets {
            AdapterTargets::Text(text) => Targets::from_text(text).expect("peft's pattern is one"),
            AdapterTargets::Names(names) => Targets::Names(names.clone()),
        },
        modules_to_save,
        seed: 0,
    }
}
