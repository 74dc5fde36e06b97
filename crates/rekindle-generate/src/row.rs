//! A row that is being written.

use rekindle_data::{Decoder, Renderer};

use crate::GenerateError;
use crate::engine::{Answer, End, Options, Prompt};
use crate::stop::{Held, Released};

/// The state of one row.
pub(crate) struct Row<'a> {
    options: &'a Options,
    end_ids: &'a [u32],
    /// Tokens of the prompt, and of the answer so far.
    ids: Vec<u32>,
    prompt: usize,
    most: usize,
    number: u64,
    /// Gone once the answer has ended.
    decoder: Option<Decoder<'a>>,
    held: Held,
    text: String,
    end: Option<End>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(prompt: &Prompt, renderer: &'a Renderer, options: &'a Options) -> Self {
        Self {
            options,
            end_ids: renderer.end_ids(),
            ids: prompt.ids.clone(),
            prompt: prompt.ids.len(),
            most: prompt.ids.len() + prompt.max_tokens,
            number: prompt.number,
            decoder: Some(renderer.decoder(&prompt.ids)),
            held: Held::default(),
            text: String::new(),
            end: None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The token that was written last.
    pub(crate) fn last(&self) -> u32 {
        self.ids[self.ids.len() - 1]
    }

    /// Chooses the next token, and returns the text that became certain with it.
    pub(crate) fn write(&mut self, logits: Vec<f32>) -> Result<String, GenerateError> {
        let sampling = &self.options.sampling;
        let id = sampling.choose(logits, &self.ids, self.number)?;
        self.ids.push(id);
        if self.end_ids.contains(&id) {
            return Ok(self.finish(End::Token));
        }
        let decoder = self.decoder.as_mut();
        let piece = decoder.map(|decoder| decoder.push(id)).unwrap_or_default();
        let mut certain = self.release(&piece);
        if self.ids.len() == self.most {
            certain += &self.finish(End::Length);
        }
        Ok(certain)
    }

    /// Ends the row if it has not ended yet, and returns the rest of its text.
    pub(crate) fn finish(&mut self, end: End) -> String {
        if self.has_ended() {
            return String::new();
        }
        let rest = self.decoder.take().map(Decoder::finish);
        let mut certain = self.release(&rest.unwrap_or_default());
        let held = self.held.rest();
        self.text += &held;
        certain += &held;
        // The rest may have completed a stop string.
        self.end.get_or_insert(end);
        certain
    }

    fn release(&mut self, piece: &str) -> String {
        let Released { text, is_stopped } = self.held.push(piece, &self.options.stop);
        self.text += &text;
        if is_stopped {
            self.end = Some(End::StopString);
        }
        text
    }

    pub(crate) fn into_answer(mut self) -> Answer {
        Answer {
            ids: self.ids.split_off(self.prompt),
            text: self.text,
            end: self.end.unwrap_or(End::Cancelled),
        }
    }
}
