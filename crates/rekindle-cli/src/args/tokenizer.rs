//! Arguments of the command that makes tokenizers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What `tokenizer` takes.
#[derive(Debug, Args)]
pub(crate) struct Tokenizer {
    #[command(subcommand)]
    pub(crate) command: TokenizerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenizerCommand {
    /// Make a tokenizer from texts; the same texts give the same files.
    Train(TrainTokenizer),
}

/// What `tokenizer train` takes.
#[derive(Debug, Args)]
pub(crate) struct TrainTokenizer {
    /// Its form.
    #[arg(long)]
    pub(crate) kind: TokenizerForm,
    /// The most tokens, special ones and the alphabet included.
    #[arg(long, value_name = "N")]
    pub(crate) vocab_size: usize,
    /// Text files, plain or JSONL with `text`; folders of them, or patterns; may be repeated.
    #[arg(long, value_name = "FILE|DIR", required = true, num_args = 1..)]
    pub(crate) data: Vec<PathBuf>,
    /// Folder to write, new or empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Make capital letters small [default for wordpiece, which takes accents away, too].
    #[arg(long, conflicts_with = "cased")]
    pub(crate) lowercase: bool,
    /// Keep capital letters and accents [default for bpe].
    #[arg(long)]
    pub(crate) cased: bool,
    /// How often two pieces must stand together to become one.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) min_frequency: u64,
    /// A special token; may be repeated. Of wordpiece besides [PAD], [UNK], [CLS], [SEP] and [MASK], of bpe in
    /// place of <|endoftext|>.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) special: Vec<String>,
    /// The most tokens of a row, for other programs that use the tokenizer [default: 512; of bpe 1024].
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,
}

/// The form of a tokenizer.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TokenizerForm {
    /// Pieces of words, as BERT has them.
    Wordpiece,
    /// Merged pairs of bytes, as GPT-2 has them.
    Bpe,
}
