//! From prompts, chats and texts to tokenized rows whose targets are tokens.

use rekindle_data::{Content, Dropped, GenerationExample, Limit, Rendered, Renderer, Truncation};
use rekindle_train::batch::Row;
use rekindle_train::objective::Target;

use super::{Examples, Opening, Tokenized, place, rows};
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

    /// How what a model answers is put to it: as a chat if any row is one, and as an instruction if all
    /// of them are.
    pub fn opening(&self) -> Opening {
        let Self::Generation(files) = self else {
            return Opening::Text;
        };
        let is_chat = |row: &GenerationExample| matches!(row.content, Content::Chat { .. });
        let is_instruction = |row: &GenerationExample| match &row.content {
            Content::Completion { prompt, .. } => rekindle_instruct::is_instruction(prompt),
            Content::Chat { .. } | Content::Text(_) => false,
        };
        if rows(files).any(|(_, row)| is_chat(row)) {
            Opening::Chat
        } else if rows(files).all(|(_, row)| is_instruction(row)) {
            Opening::Instruction
        } else {
            Opening::Text
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
        // Of a text every part teaches, so a long one becomes several rows.
        let is_text = |row: &&GenerationExample| matches!(row.content, Content::Text(_));
        let is_windowed = limit.truncation == Truncation::Right && examples.iter().all(is_text);
        let limit_of_row = Limit {
            max_length: if is_windowed {
                usize::MAX
            } else {
                limit.max_length
            },
            ..limit
        };
        let spelled = renderer.spelled(&examples);
        tokenized.spelling = spelled.iter().flatten().count();
        tokenized.spelled = spelled.into_iter().flatten().next();
        let results = renderer.examples(&examples, limit_of_row, prompt_loss_weight);
        for (index, result) in results.into_iter().enumerate() {
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
                    let parts = windows(&ids, &weights, limit.max_length);
                    tokenized.rows.extend(parts.map(|(ids, weights)| Row {
                        type_ids: vec![0; ids.len()],
                        ids,
                        target: Target::Tokens(weights),
                        number: index + 1,
                    }));
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

/// A row in parts of at most `most` tokens. Each part begins with the last token of the one before, so that
/// every token but the first of all is a target once.
fn windows(
    ids: &[u32],
    weights: &[f32],
    most: usize,
) -> impl Iterator<Item = (Vec<u32>, Vec<f32>)> {
    let step = most.saturating_sub(1).max(1);
    let starts = (0..ids.len().saturating_sub(1).max(1)).step_by(step);
    starts.map(move |start| {
        let end = ids.len().min(start + most);
        let mut weights = weights[start..end].to_vec();
        weights[0] = 0.0;
        (ids[start..end].to_vec(), weights)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_text_is_cut_so_that_each_token_is_a_target_once() {
        for length in [2, 3, 4, 5, 9, 10, 11] {
            let ids: Vec<u32> = (0..length).collect();
            let mut weights = vec![1.0; ids.len()];
            weights[0] = 0.0;
            let mut targets: Vec<u32> = Vec::new();
            for (ids, weights) in windows(&ids, &weights, 4) {
                assert!((2..=4).contains(&ids.len()), "{length}: {ids:?}");
                assert_eq!(weights[0], 0.0);
                targets.extend(&ids[1..]);
            }
            assert_eq!(targets, ids[1..], "{length}");
        }
    }

    use std::path::Path;

    use rekindle_data::{Format, Source, TaskKind, TextTokenizer};

    use super::*;

    /// Rows of these lengths.
    fn examples(lengths: &[usize]) -> Examples {
        let row = |length: &usize| {
            format!(
                "{{\"prompt\": \"a\", \"completion\": \"{}\"}}\n",
                "b".repeat(*length)
            )
        };
        let text: String = lengths.iter().map(row).collect();
        let source = Source::from_text("rows", text.leak(), Format::Jsonl).unwrap();
        let inference = source.task(None).unwrap();
        let rows = source.examples(inference, rekindle_instruct::example);
        Examples::Generation(vec![rows.unwrap()])
    }

    fn renderer() -> Renderer {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let from = manifest.join("../rekindle-data/tests/fixtures/chat/tokenizer.json");
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(from, folder.path().join("tokenizer.json")).unwrap();
        let config = "{\"eos_token\": \"</s>\"}";
        std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
        Renderer::open(folder.path(), &tokenizer).unwrap()
    }

    fn tokenize(lengths: &[usize], truncation: Truncation) -> Result<Tokenized, Error> {
        let limit = Limit {
            max_length: 20,
            truncation,
        };
        examples(lengths).tokenize_generation(&renderer(), limit, 0.0)
    }

    #[test]
    fn rows_carry_tokens_weights_and_their_numbers() {
        let tokenized = tokenize(
            &[3; 9].iter().chain(&[99]).copied().collect::<Vec<_>>(),
            Truncation::Drop,
        )
        .unwrap();
        assert_eq!((tokenized.rows.len(), tokenized.skipped), (9, 1));
        let row = &tokenized.rows[8];
        assert_eq!((row.number, row.type_ids.len()), (9, row.ids.len()));
        let Target::Tokens(weights) = &row.target else {
            panic!("{:?}", row.target);
        };
        assert_eq!(weights.len(), row.ids.len());
        assert_eq!((weights[0], weights.last()), (0.0, Some(&1.0)));
    }

    #[test]
    fn more_skipped_rows_than_one_in_ten_are_an_error() {
        let error = tokenize(&[3, 3, 99], Truncation::Drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 of 3 rows have nothing to learn from: 1 longer than 20 tokens, 0 without an answer"
        );
        assert!(error.hint().unwrap().contains("`--max-length`"));
        let cut = tokenize(&[3, 3, 99], Truncation::Right).unwrap();
        assert_eq!((cut.truncated, cut.skipped), (1, 0));
    }

    #[test]
    fn a_row_that_cannot_be_rendered_names_its_place() {
        let error = tokenize(&[3, 99], Truncation::Error).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("rows:2: the row has "), "{text}");
    }

    #[test]
    fn rows_that_spell_special_tokens_are_counted() {
        let rows = "{\"prompt\": \"a\", \"completion\": \"b</s>c\"}\n\
                    {\"messages\": [{\"role\": \"user\", \"content\": \"<|im_end|>\"}, \
                    {\"role\": \"assistant\", \"content\": \"b\"}]}\n\
                    {\"prompt\": \"a <s\", \"completion\": \"b\"}\n";
        let source = Source::from_text("rows", rows, Format::Jsonl).unwrap();
        let inference = source.task(Some(TaskKind::Generate)).unwrap();
        let rows = source.examples(inference, rekindle_instruct::example);
        let limit = Limit {
            max_length: 99,
            truncation: Truncation::Drop,
        };
        let examples = Examples::Generation(vec![rows.unwrap()]);
        let found = examples.tokenize_generation(&renderer(), limit, 0.0);
        let found = found.unwrap();
        assert_eq!(
            (found.spelling, found.spelled.as_deref()),
            (2, Some("</s>"))
        );
        let found = tokenize(&[3, 4], Truncation::Drop).unwrap();
        assert_eq!((found.spelling, found.spelled), (0, None));
    }

    #[test]
    fn only_answers_are_left_out_by_default() {
        assert_eq!(examples(&[3]).default_truncation(), Truncation::Drop);
        let text = Source::from_text("a.txt", "text", Format::Text).unwrap();
        let inference = text.task(None).unwrap();
        let rows = text
            .examples(inference, rekindle_instruct::example)
            .unwrap();
        assert_eq!(
            Examples::Generation(vec![rows]).default_truncation(),
            Truncation::Right
        );
    }
}
