//! A tiny BERT, whole and with an adapter: its logits, loss and gradients, and 20 steps of training, in
//! both layouts.

use rekindle_bert::{BertConfig, BertNames, SequenceClassifier};
use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{Lora, Targets, TensorSource, load, load_adapter, lora_scale};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::objective::{Objective, Target};
use rekindle_train::optimizer::Gradients;
use rekindle_train::task::{RowTask, Task, TrainableBackend};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::What;
use super::compare::Scale;
use super::passes::{MODEL, compare, follow, recipe};
use super::stored::Stored;
use super::suite::{Computed, Suite, host};

/// Rows of a batch in the stored trajectory.
const BATCH_SIZE: usize = 4;

/// What the names of peft's tensors begin with.
const PEFT: &str = "base_model.model.";

/// Includes a file of the model's fixture.
macro_rules! fixture {
    ($include:ident, $file:literal) => {
        $include!(concat!("../../../../models/rekindle-bert/tests/", $file))
    };
}

/// Measures the tiny model.
pub(super) fn measure<B: TrainableBackend>(
    suite: &mut Suite,
    has_ragged: bool,
    device: &B::Device,
) {
    let padded = Layout::Padded {
        multiple: super::WIDTH_MULTIPLE,
    };
    for (kind, tiny) in [("", Tiny::whole()), (" with LoRA", Tiny::adapted())] {
        let ragged = has_ragged.then_some(("ragged", Layout::Ragged));
        for (word, layout) in ragged.into_iter().chain([("padded", padded)]) {
            let whats = [What::Forward, What::Loss, What::Gradient];
            suite.check(&format!("tiny bert{kind}, {word}"), MODEL, whats, || {
                tiny.pass::<B>(layout, device)
            });
            let whats = [What::Loss, What::Norm];
            suite.check(&format!("20 steps{kind}, {word}"), MODEL, whats, || {
                tiny.train::<B>(layout, device)
            });
        }
    }
}

/// A model, its rows, and what torch made of them.
struct Tiny {
    config: BertConfig,
    names: BertNames,
    objective: Objective,
    rows: Vec<Row>,
    weights: Stored,
    /// What peft stored of an adapter.
    adapter: Option<Stored>,
    expected: Stored,
    trajectory: Trajectory,
}

#[derive(Deserialize)]
struct Inputs {
    batches: Vec<Vec<InputRow>>,
}

#[derive(Deserialize)]
struct InputRow {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    label: usize,
}

#[derive(Deserialize)]
struct Trajectory {
    loss: Vec<f32>,
    grad_norm: Vec<f32>,
}

impl Tiny {
    fn whole() -> Self {
        let config = BertConfig::from_json(&json(fixture!(
            include_str,
            "fixtures/bert-single/config.json"
        )));
        let config = config.expect("the configuration is part of the binary");
        let labels = (0..3).map(|id| format!("LABEL_{id}")).collect();
        let inputs: Inputs = json(fixture!(include_str, "fixtures/bert-single/inputs.json"));
        let row = |row: InputRow| Row {
            ids: row.ids,
            type_ids: row.type_ids,
            target: Target::Class(row.label),
            number: 0,
        };
        Self {
            names: BertNames::of_classifier(config.family),
            config,
            objective: Objective::new(TaskKind::Classify, LabelSet::from_names(labels)),
            rows: inputs.batches.into_iter().flatten().map(row).collect(),
            weights: Stored::read(fixture!(
                include_bytes,
                "fixtures/bert-single/model.safetensors"
            )),
            adapter: None,
            expected: Stored::read(fixture!(
                include_bytes,
                "fixtures/bert-single/expected.safetensors"
            )),
            trajectory: json(fixture!(
                include_str,
                "fixtures/bert-single/trajectory.json"
            )),
        }
    }

    /// The same with peft's adapter on it.
    fn adapted() -> Self {
        let adapter = fixture!(include_bytes, "adapters/bert-all/adapter_model.safetensors");
        let expected = fixture!(include_bytes, "adapters/bert-all/expected.safetensors");
        Self {
            adapter: Some(Stored::read(adapter)),
            expected: Stored::read(expected),
            trajectory: json(fixture!(include_str, "adapters/bert-all/trajectory.json")),
            ..Self::whole()
        }
    }

    fn model<B: TrainableBackend>(&self, device: &B::Device) -> SequenceClassifier<B> {
        let names = self.weights.names().into_iter();
        let shapes = names.map(|name| (name.to_owned(), self.weights.shape(name)));
        let source = TensorSource::new(shapes, |name| {
            Ok::<_, std::convert::Infallible>(self.weights.floats(name).values)
        });
        let model = self
            .config
            .classifier::<B>(self.objective.num_outputs(), device);
        let loaded = load::<B, _>(model, &source, &self.names, (0, 0.0));
        let (model, _) = loaded.expect("the weights are those of the configuration");
        match &self.adapter {
            Some(adapter) => self.adapt(model, adapter),
            None => model,
        }
    }

    fn adapt<B: TrainableBackend>(
        &self,
        model: SequenceClassifier<B>,
        adapter: &Stored,
    ) -> SequenceClassifier<B> {
        let lora = Lora {
            rank: 4,
            scale: lora_scale(8.0, 4, false),
            dropout: 0.0,
            targets: Targets::AllLinear,
            modules_to_save: vec!["classifier".to_owned()],
            seed: 0,
        };
        let names = adapter.names().into_iter();
        let own = |name: &str| name.trim_start_matches(PEFT).to_owned();
        let shapes = names.map(|name| (own(name), adapter.shape(name)));
        let source = TensorSource::new(shapes, |name| {
            let values = adapter.floats(&format!("{PEFT}{name}")).values;
            Ok::<_, std::convert::Infallible>(values)
        });
        let (model, adaptation) = lora
            .apply::<B, _>(model, &self.names)
            .expect("the model has linear layers");
        load_adapter::<B, _>(model, &source, &self.names, &adaptation.saved)
            .expect("the adapter is the model's")
    }

    /// Logits, loss and every gradient of the first batch.
    fn pass<B: TrainableBackend>(&self, layout: Layout, device: &B::Device) -> [Vec<Computed>; 3] {
        let model = self.model::<B>(device);
        let rows: Vec<&Row> = self.rows[..BATCH_SIZE].iter().collect();
        let targets: Vec<&Target> = rows.iter().map(|row| &row.target).collect();
        let logits = RowTask.outputs(&model, Batch::<B>::new(&rows, layout, device));
        let loss = self.objective.loss_sum(logits.clone(), &targets) / BATCH_SIZE as f64;
        let mut gradients = Gradients::<B>::default();
        gradients.add(&model, loss.backward());
        let logits = Computed {
            scale: Scale::One,
            ..Computed::new("logits", host(logits), &self.expected.floats("logits"))
        };
        let loss = Computed::new("loss", host(loss), &self.expected.floats("loss"));
        let expected = |name: &str| self.expected.floats(&format!("grad.{name}"));
        let gradients = compare(&model, &gradients, &self.names, expected);
        [vec![logits], vec![loss], gradients]
    }

    /// Losses and gradient norms of the training loop itself.
    fn train<B: TrainableBackend>(&self, layout: Layout, device: &B::Device) -> [Vec<Computed>; 2] {
        let runner = Runner {
            task: &RowTask,
            objective: &self.objective,
            layout,
            batch_size: BATCH_SIZE,
        };
        let Trajectory { loss, grad_norm } = &self.trajectory;
        let recipe = recipe(4, BATCH_SIZE);
        let model = self.model::<B>(device);
        follow((&recipe, runner), &self.rows, model, [loss, grad_norm])
    }
}

fn json<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("the fixture is part of the binary")
}
