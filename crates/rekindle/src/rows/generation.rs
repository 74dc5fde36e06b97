//! From prompts, chats and texts to tokenized rows whose targets are tokens.

use rekindle_data::{Content, Dropped, GenerationExample, Limit, Rendered, Renderer, Truncation};
use rekindle_train::batch::Row;
use rekindle_train::objective::Target;

use super::{Examples, Tokenized, place, rows};
use crate::error::Error;

/// One row in this many may be left out; more are an error.
const ONE_IN: usize = 10;

impl Examples {
    /// What happens to a row that is too long where the recipe does not say: prompts and chats are left
    /// out, since their end is what they teach; anything else is cut.
    pub fn default_truncation(&self) -> Truncation {
        let is_text = |row: &GenerationExample| matches!(row.content, Content::Text(_));
        match self {
            Self::Generation(files) if !rows(files).all(|(_, row)| is_text(row)) => {
                Truncation::Drop
            }
            _ => Truncation::Right,
        }
    }

    /// Whether rows are chats.
    pub fn has_chats(&self) -> bool {
        let is_chat = |row: &GenerationExample| matches!(row.content, Content::Chat { .. });
        match self {
            Self::Generation(files) => rows(files).any(|(_, row)| is_chat(row)),
            Self::Texts(_) | Self::Words(_) => false,
        }
    }

    /// Tokens of prompts, chats and texts, each with its weight as a target.
    ///
    /// # Errors
    /// A row that cannot be rendered, and more rows without anything to learn than one in ten.
    ///
    /// # Panics
    /// If the examples are not for generation: those go through [`Self::tokenize`].
    pub fn tokenize_generation(
        &self,
        renderer: &Renderer,
        limit: Limit,
        prompt_loss_weight: f64,
    ) -> Result<Tokenized, Error> {
        let Self::Generation(files) = self else {
            panic!("texts with labels are tokenized, not rendered");
        };
        let rows: Vec<_> = rows(files).collect();
        let examples: Vec<_> = rows.iter().map(|(_, row)| *row).collect();
        let mut tokenized = Tokenized::default();
        let (mut too_long, mut without_target) = (0, 0);
        let rendered = renderer.examples(&examples, limit, prompt_loss_weight);
        for (index, result) in rendered.into_iter().enumerate() {
            let result = result.map_err(|source| {
                let (path, line) = place(rows[index]);
                Error::Unrendered { path, line, source }
            })?;
            match result {
                Rendered::Dropped(Dropped::TooLong) => too_long += 1,
                Rendered::Dropped(Dropped::NoTarget) => without_target += 1,
                Rendered::Row {
                    ids,
                    weights,
                    truncated,
                } => {
                    tokenized.truncated += usize::from(truncated);
                    tokenized.rows.push(Row {
                        type_ids: vec![0; ids.len()],
                        ids,
                        target: Target::Tokens(weights),
                        number: index + 1,
                    });
                }
            }
        }
        tokenized.skipped = too_long + without_target;
        if tokenized.skipped * ONE_IN > rows.len() {
            return Err(Error::Skipped {
                too_long,
                without_target,
                total: rows.len(),
                max_length: limit.max_length,
            });
        }
        Ok(tokenized)
    }
}
