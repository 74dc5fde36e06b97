//! Training steps of models of known shapes with random weights: how long one takes on a backend.

use std::path::Path;

use rekindle_data::{LabelSet, TaskKind};
use rekindle_nn::{Depth, initialize, list};
use rekindle_train::batch::Row;
use rekindle_train::evaluate::Runner;
use rekindle_train::events::Step;
use rekindle_train::method::{self, Anatomy};
use rekindle_train::objective::{Objective, Target};
use rekindle_train::recipe::{MethodKind, Precision, Recipe};
use rekindle_train::task::{TrainableBackend, TrainableModel};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::architecture::{Architecture, UseModel};
use crate::backend::{Choice, Job};
use crate::error::Error;
use crate::samples::ObservedTask;
use crate::steps::steps;

/// Steps that allocate memory or compile kernels, and are left out of the median.
const WARM_UP_STEPS: usize = 2;

/// A model's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// That of MiniLM-L6: 6 blocks of width 384, and a head that classifies.
    Encoder,
    /// 12 blocks of width 768 with grouped heads, and 32,000 words to choose from.
    Decoder,
}

impl Shape {
    /// Rows of a step, and their tokens, where nothing else is asked for.
    pub fn batch(self) -> [usize; 2] {
        match self {
            Self::Encoder => [16, 128],
            Self::Decoder => [4, 512],
        }
    }

    fn config(self) -> Value {
        match self {
            Self::Encoder => json!({
                "model_type": "bert",
                "vocab_size": 30522,
                "hidden_size": 384,
                "num_hidden_layers": 6,
                "num_attention_heads": 12,
                "intermediate_size": 1536,
                "hidden_act": "gelu",
                "max_position_embeddings": 512,
                "type_vocab_size": 2,
            }),
            Self::Decoder => json!({
                "model_type": "llama",
                "vocab_size": 32000,
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "num_key_value_heads": 4,
                "intermediate_size": 2048,
                "hidden_act": "silu",
                "max_position_embeddings": 2048,
                "rms_norm_eps": 1e-5,
                "tie_word_embeddings": true,
            }),
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The model.
    pub shape: Shape,
    /// `Full`, or `Lora` on all linear layers with rank 8.
    pub method: MethodKind,
    /// The type of the weights.
    pub dtype: Precision,
    /// Rows of a step.
    pub rows: usize,
    /// Tokens of a row.
    pub tokens: usize,
    /// Steps in the median, after two that are not.
    pub steps: usize,
}

/// How long steps took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Seconds of a step: the median.
    pub seconds: f64,
    /// Seconds of the first step, in which kernels are compiled and memory is asked for.
    pub first_seconds: f64,
    /// Tokens of a step divided by its seconds.
    pub tokens_per_second: f64,
    /// Operations of a step divided by its seconds. Counted are the products of matrices: those of the
    /// blocks' weights and of attention, and of a decoder's output layer.
    pub flops_per_second: f64,
    /// Highest resident memory of this process in bytes, where the system tells it.
    pub peak_memory: Option<u64>,
}

/// Whether a backend computes in a type.
pub fn is_supported(dtype: Precision, choice: &Choice) -> bool {
    struct Asking(Precision);
    impl Job for Asking {
        type Output = bool;

        fn run<B: TrainableBackend>(self, device: &B::Device) -> bool {
            self.0.is_supported::<B>(device)
        }
    }
    choice.run(Asking(dtype))
}

/// Times steps in this process, whose memory is then the model's.
///
/// # Errors
/// If the backend does not compute in the work's type, or training fails.
pub fn measure(work: &Work, choice: &Choice) -> Result<Timing, Error> {
    choice.run(Measuring { work, choice })
}

struct Measuring<'a> {
    work: &'a Work,
    choice: &'a Choice,
}

impl Job for Measuring<'_> {
    type Output = Result<Timing, Error>;

    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output {
        let Work {
            shape,
            tokens,
            dtype,
            ..
        } = *self.work;
        if !dtype.is_supported::<B>(device) {
            let backend = self.choice.found.backend;
            return Err(Error::Precision { backend });
        }
        let mut config = shape.config();
        let config = config
            .as_object_mut()
            .expect("a configuration is an object");
        // A row may be longer than usual.
        let most = config["max_position_embeddings"].as_u64().unwrap_or(0);
        config["max_position_embeddings"] = json!(most.max(tokens as u64));
        let architecture = Architecture::read(config, Path::new("config.json"))?;
        let (task, labels) = match shape {
            Shape::Encoder => (
                TaskKind::Classify,
                ["no", "yes"].map(str::to_owned).to_vec(),
            ),
            Shape::Decoder => (TaskKind::Generate, Vec::new()),
        };
        let objective = Objective::new(task, LabelSet::from_names(labels));
        let recipe = recipe(self.work);
        let timed = Steps {
            of: self,
            architecture: &architecture,
            objective: &objective,
            recipe: &recipe,
        };
        architecture.with_model::<B, _>(&objective, &recipe, device, timed)
    }
}

struct Steps<'a> {
    of: Measuring<'a>,
    architecture: &'a Architecture,
    objective: &'a Objective,
    recipe: &'a Recipe,
}

impl<B: TrainableBackend> UseModel<B> for Steps<'_> {
    type Output = Result<Timing, Error>;

    fn call<M, T>(self, model: M, task: T) -> Self::Output
    where
        M: TrainableModel<B>,
        T: ObservedTask<B, M>,
    {
        let Self {
            of: Measuring { work, choice },
            architecture,
            objective,
            recipe,
        } = self;
        let linears = list::<B, M>(&model).into_iter().filter(|parameter| {
            let is_weight = parameter.path.layer == "Linear" && parameter.shape.len() == 2;
            is_weight && matches!(model.depth(&parameter.path), Depth::Block(_))
        });
        let weights = linears
            .map(|parameter| parameter.shape.iter().product::<usize>())
            .sum();
        let operations = operations(work, architecture, [weights, model.num_blocks()]);
        let names = architecture.names(objective.task());
        let anatomy = Anatomy {
            names: names.as_ref(),
            fresh: &[],
            task: objective.task(),
            seed: recipe.train.seed,
        };
        let model = initialize::<B, M>(model, recipe.train.seed, architecture.initializer_range());
        let (model, _) = method::apply::<B, M>(model, &recipe.method, &anatomy)?;
        let model = work.dtype.cast::<B, M>(model);
        let rows = rows(work, architecture.vocab_size());
        let runner = Runner {
            task: &task,
            objective,
            layout: choice.layout(),
            batch_size: work.rows,
        };
        let steps = steps((recipe, runner), &rows, model)?;
        Ok(timing(&steps, operations))
    }
}

fn recipe(work: &Work) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.method.kind = work.method;
    recipe.run.dtype = work.dtype;
    recipe.train.batch_size = work.rows;
    recipe.train.max_steps = WARM_UP_STEPS + work.steps;
    recipe.train.learning_rate = Some(1e-4);
    recipe
}

/// Rows of random tokens; a decoder learns each from those before it.
fn rows(work: &Work, vocabulary: usize) -> Vec<Row> {
    // Knuth's multiplicative hash: the tokens only have to differ.
    let id = |place: usize| (place as u64 * 2_654_435_761 % vocabulary as u64) as u32;
    let row = |number: usize| Row {
        ids: (0..work.tokens)
            .map(|token| id(number * work.tokens + token))
            .collect(),
        type_ids: vec![0; work.tokens],
        target: match work.shape {
            Shape::Encoder => Target::Class(number % 2),
            Shape::Decoder => {
                let mut weights = vec![1.0; work.tokens];
                weights[0] = 0.0;
                Target::Tokens(weights)
            }
        },
        number: number + 1,
    };
    (0..work.rows).map(row).collect()
}

/// Operations of a step: two for each product of two numbers, forward, and as many backward for the inputs
/// of each product, and for its weights if they are trained.
///
/// The weights are those of the blocks, which are alike.
fn operations(work: &Work, architecture: &Architecture, [weights, blocks]: [usize; 2]) -> f64 {
    let (width, tokens) = (architecture.width(), work.tokens);
    // Of a row: weights that its tokens pass, and pairs of tokens of which one sees the other.
    let [products, seen] = match work.shape {
        Shape::Encoder => {
            // The last block's, apart from those of keys and values, are passed by the first token alone.
            let of_first = weights / blocks - 2 * width * width;
            [
                tokens * weights - (tokens - 1) * of_first,
                ((blocks - 1) * tokens + 1) * tokens,
            ]
        }
        Shape::Decoder => [
            tokens * (weights + architecture.vocab_size() * width),
            // A token sees those before it: half of them on average.
            blocks * tokens * tokens / 2,
        ],
    };
    let passes = if work.method == MethodKind::Lora {
        2
    } else {
        3
    };
    ((passes * 2 * products + 3 * 4 * seen * width) * work.rows) as f64
}

fn timing(steps: &[Step], operations: f64) -> Timing {
    let mut seconds: Vec<f64> = steps
        .iter()
        .skip(WARM_UP_STEPS)
        .map(|step| step.seconds)
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    Timing {
        seconds: median,
        first_seconds: steps[0].seconds,
        tokens_per_second: steps[0].tokens as f64 / median,
        flops_per_second: operations / median,
        peak_memory: peak_memory(),
    }
}

/// `VmHWM` of Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_shape() {
        let work = Work {
            shape: Shape::Encoder,
            method: MethodKind::Full,
            dtype: Precision::F32,
            rows: 16,
            tokens: 128,
            steps: 1,
        };
        let config = Shape::Encoder.config();
        let config = config.as_object().unwrap();
        let architecture = Architecture::read(config, Path::new("config.json")).unwrap();
        // Four matrices of attention and two of the feed-forward layers in each block.
        let block = 4 * 384 * 384 + 2 * 384 * 1536;
        let found = operations(&work, &architecture, [6 * block, 6]);
        // Five blocks and the last one's keys and values for all tokens, the rest for the first ones.
        let of_keys = 2 * 384 * 384;
        let passed = (5 * block + of_keys) * 2048 + (block - of_keys) * 16;
        let seen = 16 * 128 * (5 * 128 + 1);
        assert_eq!(found, (6 * passed + 12 * 384 * seen) as f64);
        let lora = Work {
            method: MethodKind::Lora,
            ..work
        };
        let saved = found - operations(&lora, &architecture, [6 * block, 6]);
        assert_eq!(saved, (2 * passed) as f64);
    }
}
