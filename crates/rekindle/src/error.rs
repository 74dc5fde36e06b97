//! Why a command of the library fails, what to do about it, and whose fault it is.

mod hints;

use std::path::PathBuf;

use rekindle_checkpoint::{ListError, LockError};
use rekindle_corpus::CorpusError;
use rekindle_dashboard::ReadError;
use rekindle_dashboard::server::ServeError;
use rekindle_data::{DataError, RenderError, TaskKind, TokenizerError, VocabularyError};
use rekindle_generate::GenerateError;
use rekindle_hub::{AdapterError, HubError, LoadError, SaveError};
use rekindle_nn::{LoraError, WeightsError};
use rekindle_train::error::TrainError;
use rekindle_train::recipe::RecipeError;

use crate::backend::BackendError;
use crate::scratch::ScratchError;
use crate::texts::TextsError;

/// Any failure of the library.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe cannot be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Raw text cannot be learned from.
    #[error(transparent)]
    Texts(#[from] TextsError),
    /// Files of raw text cannot be used.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A row of raw text cannot be made.
    #[error("cannot read a row of the text")]
    Lesson(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A data file cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model cannot write an answer, or not in the way asked for.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A row cannot be tokenized.
    #[error("{}:{line}: {source}", path.display())]
    Row {
        /// The data file.
        path: PathBuf,
        /// The row's line.
        line: usize,
        /// The reason.
        source: TokenizerError,
    },
    /// The model's files do not tell how texts and chats become tokens.
    #[error(transparent)]
    Renderer(#[from] RenderError),
    /// A prompt, a chat or a text cannot become tokens.
    #[error("{}:{line}: {source}", path.display())]
    Unrendered {
        /// The data file.
        path: PathBuf,
        /// The row's line.
        line: usize,
        /// The reason.
        source: RenderError,
    },
    /// Too many rows have nothing to learn.
    #[error(
        "{} of {total} rows have nothing to learn from: {too_long} longer than {max_length} tokens, \
         {without_target} without an answer",
        too_long + without_target
    )]
    Skipped {
        /// Rows that were dropped for their length.
        too_long: usize,
        /// Rows without a target, or none after they were cut.
        without_target: usize,
        /// All rows.
        total: usize,
        /// The most tokens of a row.
        max_length: usize,
    },
    /// The model was not found.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file of the model cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An adapter cannot be read.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The base of an adapter is not there.
    #[error("cannot find the base `{base}` of the adapter `{}`", adapter.display())]
    NoBase {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base that it names.
        base: String,
        /// The reason.
        source: Box<HubError>,
    },
    /// An adapter was made for another base.
    #[error("`{}` is an adapter for another base than `{}`", adapter.display(), base.display())]
    OtherBase {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base's folder.
        base: PathBuf,
        /// Names and shapes that do not fit.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An adapter lacks tensors, or has some that it should not have.
    #[error("the tensors of the adapter `{}` are not those that its configuration calls for", adapter.display())]
    IncompleteAdapter {
        /// The adapter's folder.
        adapter: PathBuf,
        /// Which.
        source: Box<WeightsError>,
    },
    /// An adapter changes an output layer that its base does not have apart from the embedding.
    #[error(
        "the adapter `{}` changes the output layer, and in its base `{}` that is the embedding\n  {}",
        adapter.display(), base.display(), tensors.join("\n  ")
    )]
    TiedOutput {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base's folder.
        base: PathBuf,
        /// The adapter's tensors that do so.
        tensors: Vec<String>,
    },
    /// An adapter holds a layer of its base, and with other values.
    #[error("the adapter `{}` holds `{tensor}`, and its base `{}` has other values there", adapter.display(), base.display())]
    ChangedLayer {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base's folder.
        base: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A recipe asks for another adapter than the one that it goes on with.
    #[error("the adapter `{}` goes on with `{key} = {found}`, and the recipe says otherwise", adapter.display())]
    OtherAdapter {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The key.
        key: &'static str,
        /// The adapter's value.
        found: String,
    },
    /// An adapter would go on with other labels.
    #[error("the adapter `{}` answers another task or other labels than the data has", adapter.display())]
    OtherLabels {
        /// The adapter's folder.
        adapter: PathBuf,
    },
    /// A model without an adapter has nothing to merge or to copy.
    #[error("`{}` has no adapter: nothing to {what}", path.display())]
    NoAdapter {
        /// The model's folder.
        path: PathBuf,
        /// `merge`, or `copy`.
        what: &'static str,
    },
    /// The model cannot be adapted as the recipe says.
    #[error(transparent)]
    Adapt(#[from] LoraError),
    /// The weights do not fit the model.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model's `config.json` cannot be used.
    #[error("cannot use `{}`", path.display())]
    Config {
        /// The `config.json`.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The architecture is not one of those known.
    #[error("unknown architecture `{model_type}` in `{}`", path.display())]
    Architecture {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`.
        model_type: String,
        /// The values that are known.
        known: Vec<&'static str>,
    },
    /// The weights are not plain numbers.
    #[error("`{}` is of a quantized model (`{method}`)", path.display())]
    Quantized {
        /// The `config.json`.
        path: PathBuf,
        /// Its `quant_method`.
        method: String,
    },
    /// The model is of the other kind: encoders score, decoders write.
    #[error("this model {}, it cannot do the task `{task}`", if *is_decoder { "writes text" } else { "scores text" })]
    OtherKind {
        /// The task asked for.
        task: TaskKind,
        /// Whether the model is a decoder.
        is_decoder: bool,
    },
    /// The task learns from texts as they are, and the command reads rows.
    #[error("the task `{task}` is not for files of rows")]
    RawText {
        /// The task.
        task: TaskKind,
    },
    /// The model knows words, and nothing to say of a text.
    #[error("`{}` is a masked language model: it has no answer to a row", path.display())]
    NoAnswer {
        /// Its folder.
        path: PathBuf,
    },
    /// The backend does not compute in bf16.
    #[error("backend `{backend}` has no bf16 arithmetic on this device")]
    Precision {
        /// Its name.
        backend: &'static str,
    },
    /// Only a norm would be trained.
    #[error(
        "`method = \"head\"` has nothing to train here: the output layer of this model is its embedding"
    )]
    NoHead,
    /// A key of the recipe has no meaning for the task.
    #[error("`{key}` is for the task `{of}`, and this run's is `{task}`")]
    IdleKey {
        /// The key.
        key: &'static str,
        /// The task that it is for.
        of: TaskKind,
        /// The run's task.
        task: TaskKind,
    },
    /// A day is given, and nothing writes one.
    #[error("`data.date` has no effect: this model's chat template writes no day")]
    IdleDate,
    /// A prompt of the recipe leaves no room for an answer.
    #[error("a prompt in `train.samples` has {length} tokens, and the model reads at most {most}")]
    LongSample {
        /// Its tokens.
        length: usize,
        /// Tokens possible.
        most: usize,
    },
    /// The tokenizer makes ids that the model has no embedding for.
    #[error("the tokenizer's highest id is {highest}, the model's embedding has {rows} rows")]
    Vocabulary {
        /// Highest id of the tokenizer.
        highest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A tokenizer cannot be made.
    #[error(transparent)]
    NewTokenizer(#[from] VocabularyError),
    /// A model cannot be made from scratch.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The rows asked for are longer than the model can read.
    #[error("`max_length` is {asked}, and the model reads at most {most} tokens")]
    TooLong {
        /// Tokens asked for.
        asked: usize,
        /// Tokens possible.
        most: usize,
    },
    /// The files are for different tasks.
    #[error("`{}` is data for `{found}`, not for `{expected}`", path.display())]
    OtherTask {
        /// The file.
        path: PathBuf,
        /// Its task.
        found: TaskKind,
        /// The task of the model or of the first file.
        expected: TaskKind,
    },
    /// There are no rows left to train on, or to score.
    #[error("no rows are left: {skipped} were skipped as too long or without a word to learn from")]
    NoRows {
        /// Rows that were skipped.
        skipped: usize,
    },
    /// A task with classes needs two of them.
    #[error("all training rows have the same label: `{0}`")]
    OneLabel(String),
    /// The model has no head for the task.
    #[error("`{}` has no trained head: {}", path.display(), missing.join(", "))]
    Headless {
        /// The model's folder.
        path: PathBuf,
        /// Tensors that a head would have.
        missing: Vec<String>,
    },
    /// The output folder already holds something.
    #[error("output folder `{}` {what}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// `already holds a run`, or `is not empty`.
        what: &'static str,
    },
    /// A run would go on with another recipe.
    #[error("the run in `{}` has another recipe\n  {}", path.display(), differences.join("\n  "))]
    OtherRecipe {
        /// The run's folder.
        path: PathBuf,
        /// What differs, with both values.
        differences: Vec<String>,
    },
    /// A run would go on with other data or another base.
    #[error("the run in `{}` was made from other files\n  {}", path.display(), differences.join("\n  "))]
    OtherInputs {
        /// The run's folder.
        path: PathBuf,
        /// What differs, with both hashes.
        differences: Vec<String>,
    },
    /// It is not clear which run is to go on.
    #[error("`--resume` needs a run: the recipe's output `{output}` names none")]
    WhichRun {
        /// The recipe's `run.output`.
        output: String,
    },
    /// Another process works on the run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What a run recorded cannot be read.
    #[error(transparent)]
    Record(#[from] ReadError),
    /// The page cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The checkpoints of a run cannot be listed.
    #[error(transparent)]
    Checkpoints(#[from] ListError),
    /// A checkpoint has not what this version needs.
    #[error("checkpoint `{}` is not one that this version can go on from", path.display())]
    Incomplete {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The input was right, and something went wrong after the first step.
    #[error(transparent)]
    Unfinished(Box<Error>),
    /// The device or its driver failed; this process can no longer be trusted.
    #[error("the device failed: {message}")]
    Device {
        /// What it told.
        message: String,
        /// The run's folder.
        folder: PathBuf,
        /// Rows of a forward pass when it failed.
        forward_rows: usize,
        /// Whether it had too little memory.
        is_out_of_memory: bool,
    },
    /// A file of the run folder cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// No backend of that name, or none with a device.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The loop failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The model could not be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The saved model does not answer as the trained one.
    #[error("the saved model in `{}` differs from the trained one: logits by {difference:e}, allowed {allowed:e}", path.display())]
    Unfaithful {
        /// The saved model.
        path: PathBuf,
        /// Largest absolute difference.
        difference: f32,
        /// Largest difference that rounding explains.
        allowed: f32,
    },
}

impl Error {
    /// An error after the first step, at which neither input nor usage is at fault.
    pub(crate) fn after_start(self) -> Self {
        if self.is_usage() {
            Self::Unfinished(Box::new(self))
        } else {
            self
        }
    }

    /// Whether the input or the usage is at fault, not the work itself.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Train(error) => matches!(
                error,
                TrainError::UnknownMetric { .. } | TrainError::PatienceWithoutRows
            ),
            Self::Generate(error) => *error != GenerateError::NotFinite,
            Self::Unfaithful { .. } | Self::Device { .. } | Self::Unfinished(_) => false,
            _ => true,
        }
    }
}
