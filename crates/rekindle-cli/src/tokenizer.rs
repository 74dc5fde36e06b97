//! `rekindle tokenizer`.

use std::process::ExitCode;

use anyhow::Result;
use rekindle::data::{TokenizerKind, TokenizerRecipe};
use rekindle::tokenizer::train;

use crate::args::{Tokenizer, TokenizerCommand, TokenizerForm, TrainTokenizer};
use crate::progress::note;

/// Makes a tokenizer, and tells what of.
pub(crate) fn run(arguments: &Tokenizer) -> Result<ExitCode> {
    let TokenizerCommand::Train(arguments) = &arguments.command;
    let TrainTokenizer {
        kind,
        vocab_size,
        data,
        output,
        lowercase,
        cased,
        min_frequency,
        special,
        max_length,
    } = arguments;
    let kind = match kind {
        TokenizerForm::Wordpiece => TokenizerKind::WordPiece,
        TokenizerForm::Bpe => TokenizerKind::Bpe,
    };
    let default = TokenizerRecipe::new(kind, *vocab_size);
    let recipe = TokenizerRecipe {
        min_frequency: *min_frequency,
        is_lowercase: *lowercase || default.is_lowercase && !cased,
        special: special.clone(),
        max_length: max_length.unwrap_or(default.max_length),
        ..default
    };
    let made = train(&recipe, data, output)?;
    if made.tokens < *vocab_size {
        note(format_args!(
            "only {} tokens: no more pieces stand together {min_frequency} times",
            made.tokens
        ));
    }
    note(format_args!(
        "{} tokens from {} texts with {} different words, written to {}",
        made.tokens,
        made.texts,
        made.words,
        output.display()
    ));
    note(format_args!(
        "use it: rekindle train --set model.config=CONFIG.json --set model.tokenizer={} --data FILE",
        output.display()
    ));
    Ok(ExitCode::SUCCESS)
}
