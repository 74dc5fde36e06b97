//! The command line.

mod tokenizer;
mod writing;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use rekindle::data::TaskKind;

pub(crate) use tokenizer::{Tokenizer, TokenizerCommand, TokenizerForm, TrainTokenizer};
pub(crate) use writing::{Chat, Generate, LanguageModel, Line, Writing};

/// Fine-tunes pre-trained transformers on any GPU, or on a CPU.
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fine-tune a model on labeled texts, prompts and answers, chats or plain text.
    Train(Box<Train>),
    /// Score a fine-tuned model on labeled data.
    Eval(Eval),
    /// Let a fine-tuned model answer rows: one JSON object per row.
    Predict(Predict),
    /// Let a language model go on with a text.
    Generate(Generate),
    /// Talk with a language model.
    Chat(Chat),
    /// Fold an adapter into its base, or copy it; write weights in two bytes each.
    Export(Export),
    /// Make a tokenizer from texts, for a model from scratch.
    Tokenizer(Tokenizer),
    /// List training runs, or compare some.
    Runs(Runs),
    /// Show a run, or all runs, on a web page that follows them live.
    Dashboard(Serve),
    /// Show backends and devices, or prove that one computes right.
    Doctor(Doctor),
    /// Time training steps of models of known shapes.
    Bench(Bench),
}

/// What `train` takes; flags win over the recipe file.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Train {
    /// Recipe file, or the folder of a run: repeats it, or goes on with it (`--resume`).
    #[arg(value_name = "RECIPE|RUN")]
    pub(crate) recipe: Option<PathBuf>,
    /// Model to start from: a folder, or `org/name[@revision]` on the Hub [default: `bundled`, a small encoder that
    /// comes with this program].
    #[arg(long, value_name = "ID|DIR")]
    pub(crate) model: Option<String>,
    /// Training file (JSONL, CSV, TSV, CoNLL, plain text); may be repeated [default: the bundled reviews].
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Vec<String>,
    /// Validation file [default: a tenth of the training rows].
    #[arg(long, value_name = "FILE")]
    pub(crate) valid: Option<String>,
    /// Task: classify, multi-label, regress, tag or generate [default: told by the data].
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// Which weights are trained: full, head, last-layers or lora [default: full].
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Passes over the training rows [default: 3; 4 for a small model].
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<String>,
    /// Optimizer steps, in place of epochs.
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<String>,
    /// Rows of a forward pass [default: 16].
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<String>,
    /// Highest learning rate [default: 5e-5, to generate 2e-5; lora: 2e-4; head: 1e-3; but for heads six times as
    /// much where hidden states have 256 numbers or fewer].
    #[arg(long, value_name = "X", conflicts_with = "learning_rate_multiplier")]
    pub(crate) learning_rate: Option<String>,
    /// Factor on the default learning rate.
    #[arg(long, value_name = "X")]
    pub(crate) learning_rate_multiplier: Option<String>,
    /// Longest row in tokens [default: 256, to generate 1024, or what the model can read].
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<String>,
    /// Seed of everything random [default: 42].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<String>,
    /// Backend: auto, or one that `rekindle doctor` lists [default: auto].
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Type of weights and activations: f32, or bf16 where the backend computes in it [default: f32].
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Folder of the run [default: runs/{date}-{model}-{task}].
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<String>,
    /// Go on with a run from its newest checkpoint, as if it had not stopped.
    #[arg(long)]
    pub(crate) resume: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) dashboard: Dashboard,
    /// Any recipe key, as in `--set train.warmup=100`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Rows of a forward pass, after the device ran out of memory.
    #[arg(long, hide = true)]
    pub(crate) forward_rows: Option<usize>,
    /// Whether a failed device was tried again before.
    #[arg(long = "restarted", hide = true)]
    pub(crate) is_restarted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dashboard {
    /// A full screen on a terminal, else plain lines.
    Auto,
    /// A full screen on the terminal.
    Tui,
    /// Lines on standard error.
    Plain,
    /// Events as JSON lines on standard output.
    Json,
    /// Nothing but the result.
    None,
}

/// What all commands that use a fine-tuned model take.
#[derive(Debug, Args)]
pub(crate) struct Trained {
    /// Fine-tuned model: a run folder, a model folder, or `org/name[@revision]` on the Hub.
    #[arg(long, value_name = "ID|DIR")]
    pub(crate) model: String,
    /// Backend: auto, or one that `rekindle doctor` lists.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) backend: String,
    /// Most tokens of a row; of a prompt with its answer [default: 256, of texts to be generated 1024,
    /// or what the model can read].
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
    /// Task of the model's head [default: told by its `config.json`].
    #[arg(long)]
    pub(crate) task: Option<TaskKind>,
}

/// What `eval` takes.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) trained: Trained,
    /// Labeled file; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the loss of each row to a JSONL file.
    #[arg(long, value_name = "OUT.jsonl")]
    pub(crate) per_example: Option<PathBuf>,
}

/// What `predict` takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rows").required(true))]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) trained: Trained,
    /// File of rows (JSONL, CSV, TSV, CoNLL), or `-` for JSONL on standard input.
    #[arg(long, value_name = "FILE|-", group = "rows")]
    pub(crate) input: Option<PathBuf>,
    /// A text to answer; may be repeated.
    #[arg(long, value_name = "TEXT", group = "rows")]
    pub(crate) text: Vec<String>,
    /// Write the answers to a file [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Add the logits, in the order of the label ids.
    #[arg(long)]
    pub(crate) logits: bool,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// What `export` takes.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The adapter: a run folder or an adapter folder; with `--dtype`, any model.
    #[arg(long, value_name = "RUN|DIR")]
    pub(crate) model: String,
    /// Folder of its base [default: the base that it names].
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// What is written.
    #[arg(long)]
    pub(crate) to: ExportForm,
    /// With `--to merged`: type of the weights in the file [default: f32].
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<WeightType>,
    /// Folder to write, new or empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Backend: auto, or one that `rekindle doctor` lists.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) backend: String,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExportForm {
    /// A full model with the adapter in its weights.
    Merged,
    /// The adapter alone.
    Adapter,
}

/// The types that weights are written in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WeightType {
    /// As they were trained.
    F32,
    /// Two bytes, for numbers up to 65,504.
    F16,
    /// Two bytes, less precise, for numbers of any size.
    Bf16,
}

/// What `runs` takes.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    /// Folder that holds the runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Tell a run's course once more: its epochs, warnings and end.
    Show {
        /// Folder of the run.
        run: PathBuf,
    },
    /// Print a table of runs, and write their curves over each other into an HTML page.
    Compare {
        /// Folders of the runs.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// The page.
        #[arg(long, value_name = "FILE", default_value = "compare.html")]
        output: PathBuf,
    },
}

/// What `dashboard` takes.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder of a run, or of many.
    #[arg(value_name = "RUN", default_value = "runs")]
    pub(crate) folder: PathBuf,
    /// Port on this machine's loopback address; 0: any that is free.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

/// What `doctor` takes.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Compare every operation that training uses with stored numbers.
    #[arg(long)]
    pub(crate) selftest: bool,
    /// Train a recipe twice, once killed at random moments and resumed, and compare: the results must be
    /// identical. Give it a short recipe.
    #[arg(long, value_name = "RECIPE", conflicts_with = "selftest")]
    pub(crate) verify_resume: Option<PathBuf>,
    /// How often `--verify-resume` kills.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        requires = "verify_resume"
    )]
    pub(crate) kills: usize,
    /// Backend to test: auto, or one that is listed.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) backend: String,
}

/// What `bench` takes.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Model: encoder (6 blocks of width 384, 16 rows of 128 tokens) or decoder (12 blocks of width 768,
    /// 4 rows of 512 tokens); may be repeated.
    #[arg(long, value_name = "NAME", value_parser = ["encoder", "decoder"], default_values = ["encoder", "decoder"])]
    pub(crate) shape: Vec<String>,
    /// Which weights are trained: full or lora; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = ["full", "lora"], default_values = ["full", "lora"])]
    pub(crate) method: Vec<String>,
    /// Type of the numbers: f32 or bf16; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"], default_values = ["f32", "bf16"])]
    pub(crate) dtype: Vec<String>,
    /// Steps that are timed, after two that are not.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub(crate) steps: usize,
    /// Rows of a step.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) rows: Option<usize>,
    /// Tokens of a row.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    pub(crate) tokens: Option<usize>,
    /// Backend: auto, or one that `rekindle doctor` lists.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(crate) backend: String,
    /// One JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Times one in this process.
    #[arg(long, hide = true, num_args = 3)]
    pub(crate) here: Vec<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(1, text)
}

/// A decoder has nothing to predict in a row of one token.
fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(2, text)
}

fn at_least(least: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number >= least);
    number.ok_or_else(|| format!("a number from {least} on"))
}
