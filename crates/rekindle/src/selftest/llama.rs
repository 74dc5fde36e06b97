//! A tiny Llama: its logits, loss and gradients, and 20 steps of training, in all layouts; all weights, and
//! adapters alone.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use rekindle_data::{LabelSet, TaskKind};
use rekindle_llama::{LlamaConfig, LlamaLm, LlamaNames};
use rekindle_nn::{
    CausalLm, Columns, Input, KvCache, LanguageModel, Lora, Model, Rows, Slots, Targets,
    TensorSource, TrainBackend, load, load_adapter,
};
use rekindle_train::batch::{Batch, Layout, Row};
use rekindle_train::evaluate::Runner;
use rekindle_train::objective::{Objective, Target};
use rekindle_train::optimizer::Gradients;
use rekindle_train::task::{Goal, TrainableBackend, TrainableTask};
use rekindle_train::token_task::TokenTask;
use serde_json::{Value, json};

use super::compare::Scale;
use super::operations::tokens;
use super::passes::{MODEL, compare, follow, recipe};
use super::stored::{Array, Stored};
use super::suite::{Computed, Suite, host};
use super::{WIDTH_MULTIPLE, What};

/// Rows of a batch in `reference.py`; there are two batches.
const BATCH_SIZE: usize = 4;

/// Columns that a cache takes at once, up to the longest row of the first batch: several, one, and several
/// behind others.
const COLUMNS: [usize; 4] = [3, 1, 1, 3];

/// Rank and scale of the adapters in `reference.py`.
const RANK: usize = 2;
const SCALE: f64 = 2.0;

/// Layouts, that of packed rows last: training steps are not measured in it.
const LAYOUTS: [(&str, Layout); 3] = [
    ("ragged", Layout::Ragged),
    (
        "padded",
        Layout::Padded {
            multiple: WIDTH_MULTIPLE,
        },
    ),
    (
        "packed",
        Layout::Packed {
            capacity: WIDTH_MULTIPLE,
            multiple: WIDTH_MULTIPLE,
        },
    ),
];

/// Measures the tiny model with all weights trained, and with adapters.
pub(super) fn measure<B: TrainableBackend>(
    suite: &mut Suite,
    has_ragged: bool,
    device: &B::Device,
) {
    let layouts = &LAYOUTS[usize::from(!has_ragged)..];
    for (kind, method) in [("", Method::Full), (" with LoRA", Method::Lora)] {
        let tiny = Tiny::new(method);
        for &(word, layout) in layouts {
            let whats = [What::Forward, What::Loss, What::Gradient];
            suite.check(&format!("tiny llama{kind}, {word}"), MODEL, whats, || {
                let logits = tiny.logits::<B>(layout, device);
                let [loss, gradients] = tiny.pass::<B>(layout, false, device);
                [logits, loss, gradients]
            });
        }
        let padded = LAYOUTS[1].1;
        let whats = [What::Loss, What::Gradient];
        suite.check(
            &format!("tiny llama{kind}, recomputed"),
            MODEL,
            whats,
            || tiny.pass::<B>(padded, true, device),
        );
        suite.check(
            &format!("tiny llama{kind}, cached"),
            MODEL,
            [What::Forward],
            || [tiny.cached::<B>(device)],
        );
        for (word, layout) in &layouts[..layouts.len() - 1] {
            let whats = [What::Loss, What::Norm];
            suite.check(
                &format!("20 llama steps{kind}, {word}"),
                MODEL,
                whats,
                || tiny.train::<B>(*layout, device),
            );
        }
    }
}

/// What is trained.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Full,
    Lora,
}

impl Method {
    /// What the names of its numbers begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Full => "llama",
            Self::Lora => "lora",
        }
    }
}

/// A model, its rows, and what torch made of them.
struct Tiny {
    method: Method,
    config: LlamaConfig,
    names: LlamaNames,
    objective: Objective,
    rows: Vec<Row>,
    stored: Stored,
}

impl Tiny {
    fn new(method: Method) -> Self {
        let stored = Stored::operations();
        let config = LlamaConfig::from_json(&config()).expect("the configuration is complete");
        Self {
            method,
            names: LlamaNames::new(config.is_tied),
            config,
            objective: Objective::new(TaskKind::Generate, LabelSet::from_names(Vec::new())),
            rows: rows(&stored),
            stored,
        }
    }

    fn model<B: TrainableBackend>(&self, device: &B::Device) -> LlamaLm<B> {
        let model = self.config.causal_lm::<B>(device);
        let loaded = load::<B, _>(model, &self.weights(Method::Full), &self.names, (0, 0.0));
        let (model, _) = loaded.expect("the weights are those of the configuration");
        if self.method == Method::Full {
            return model;
        }
        let lora = Lora {
            rank: RANK,
            scale: SCALE,
            dropout: 0.0,
            targets: Targets::AllLinear,
            modules_to_save: Vec::new(),
            seed: 0,
        };
        let (model, _) = lora
            .apply::<B, _>(model, &self.names)
            .expect("a decoder has linear layers");
        load_adapter::<B, _>(model, &self.weights(Method::Lora), &self.names, &[])
            .expect("the adapters are those of the configuration")
    }

    /// The weights that a method trains.
    fn weights(&self, method: Method) -> TensorSource<'_> {
        let prefix = format!("{}/weight.", method.prefix());
        let names = self.stored.names().into_iter();
        let shapes = names.filter_map(|name| {
            let tensor = name.strip_prefix(&prefix)?;
            Some((tensor.to_owned(), self.stored.shape(name)))
        });
        let shapes: Vec<_> = shapes.collect();
        TensorSource::new(shapes, move |name| {
            let array = self.stored.floats(&format!("{prefix}{name}"));
            Ok::<_, std::convert::Infallible>(array.values)
        })
    }

    fn stored(&self, name: &str) -> Array {
        self.stored
            .floats(&format!("{}/{name}", self.method.prefix()))
    }

    /// Rows of the stored pass.
    fn batch(&self) -> Vec<&Row> {
        self.rows[..BATCH_SIZE].iter().collect()
    }

    /// Logits of each token, as they are computed without training.
    fn logits<B: TrainableBackend>(&self, layout: Layout, device: &B::Device) -> Vec<Computed> {
        let model = self.model::<B>(device).valid();
        let Batch { input, rows, .. } = Batch::new(&self.batch(), layout, device);
        let tokens = tokens(&rows, device);
        let place = model.place(Slots::Rows(rows), device);
        let mut hidden = model.embed(input.ids, &place);
        for index in 0..model.num_blocks() {
            hidden = model.block(index, hidden, &place, None);
        }
        let logits = model.project(model.norm(hidden)).select(0, tokens);
        vec![self.beside_logits(host(logits))]
    }

    fn beside_logits(&self, found: Vec<f32>) -> Computed {
        Computed {
            scale: Scale::One,
            ..Computed::new("logits", found, &self.stored("logits"))
        }
    }

    /// Loss and every gradient of the first batch.
    fn pass<B: TrainableBackend>(
        &self,
        layout: Layout,
        recomputes: bool,
        device: &B::Device,
    ) -> [Vec<Computed>; 2] {
        let model = self.model::<B>(device);
        let rows = self.batch();
        let targets: Vec<&Target> = rows.iter().map(|row| &row.target).collect();
        let weights = targets.iter().map(|target| self.objective.weight(target));
        let goal = Goal {
            objective: &self.objective,
            targets: &targets,
            weight: weights.sum(),
        };
        let batch = Batch::<B>::new(&rows, layout, device);
        let mut gradients = Gradients::<B>::default();
        let passed = TokenTask { recomputes }.pass(&model, batch, goal, &mut gradients);
        let loss = vec![(passed.loss / goal.weight) as f32];
        let loss = Computed::new("loss", loss, &self.stored("loss"));
        let expected = |name: &str| self.stored(&format!("grad.{name}"));
        let gradients = compare(&model, &gradients, &self.names, expected);
        [vec![loss], gradients]
    }

    /// Logits of each token, those before it read from a cache.
    fn cached<B: TrainableBackend>(&self, device: &B::Device) -> Vec<Computed> {
        let model = self.model::<B>(device).valid();
        let rows = self.batch();
        let longest = Rows::ragged(rows.iter().map(|row| row.ids.len()).collect()).longest();
        let padding: Vec<usize> = rows.iter().map(|row| longest - row.ids.len()).collect();
        let sizes = [rows.len(), longest];
        let mut cache = KvCache::new(model.num_blocks(), model.heads(), sizes, device);
        let mut found = vec![Vec::new(); rows.len()];
        let mut past = 0;
        for width in COLUMNS {
            let columns = Columns {
                padding: padding.clone(),
                past,
                width,
            };
            let logits = read(&model, &rows, columns, &mut cache);
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let mut lines = logits.chunks(model.vocabulary());
            for (found, padding) in found.iter_mut().zip(&padding) {
                let lines = lines.by_ref().take(width).enumerate();
                let tokens = lines.filter(|(column, _)| past + column >= *padding);
                found.extend(tokens.flat_map(|(_, line)| line));
            }
            past += width;
        }
        assert_eq!(past, longest, "every token is read");
        vec![self.beside_logits(found.concat())]
    }

    /// Losses and gradient norms of the training loop itself.
    fn train<B: TrainableBackend>(&self, layout: Layout, device: &B::Device) -> [Vec<Computed>; 2] {
        let runner = Runner {
            task: &TokenTask::default(),
            objective: &self.objective,
            layout,
            batch_size: BATCH_SIZE,
        };
        let (losses, norms) = (self.stored("losses").values, self.stored("norms").values);
        let recipe = recipe(10, BATCH_SIZE);
        let model = self.model::<B>(device);
        follow((&recipe, runner), &self.rows, model, [&losses, &norms])
    }
}

/// Logits of the slots of new columns, `[N, V]`.
fn read<B: TrainBackend, M: CausalLm<B>>(
    model: &M,
    rows: &[&Row],
    columns: Columns,
    cache: &mut KvCache<B>,
) -> Tensor<B, 2> {
    let new = columns.past..columns.past + columns.width;
    let ids = rows
        .iter()
        .zip(&columns.padding)
        .flat_map(|(row, padding)| {
            let tokens = new.clone().map(|column| column.checked_sub(*padding));
            tokens.map(|token| token.map_or(0, |token| row.ids[token]))
        });
    let ids: Vec<u32> = ids.collect();
    let device = model.devices().remove(0);
    let place = model.place(Slots::Columns(columns), &device);
    let mut hidden = model.embed(Input::<B>::new(&ids, &ids, &device).ids, &place);
    for (index, layer) in cache.layers.iter_mut().enumerate() {
        hidden = model.block(index, hidden, &place, Some(layer));
    }
    model.project(model.norm(hidden))
}

/// The sizes in `reference.py`.
fn config() -> serde_json::Map<String, Value> {
    let config = json!({
        "model_type": "llama",
        "vocab_size": 20,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": 16,
        "rope_theta": 100.0,
        "rms_norm_eps": 1e-6,
    });
    match config {
        Value::Object(config) => config,
        _ => unreachable!("it is written as an object"),
    }
}

fn rows(stored: &Stored) -> Vec<Row> {
    let (ids, weights) = (
        stored.integers("rows/ids"),
        stored.floats("rows/weights").values,
    );
    let mut start = 0;
    let row = |length: i64| {
        let tokens = start..start + length as usize;
        start = tokens.end;
        Row {
            ids: ids[tokens.clone()].iter().map(|&id| id as u32).collect(),
            type_ids: vec![0; tokens.len()],
            target: Target::Tokens(weights[tokens].to_vec()),
            number: 0,
        }
    };
    stored
        .integers("rows/lengths")
        .into_iter()
        .map(row)
        .collect()
}
