//! A row that is being written.

use crate::engine::{Answer, End, Options, Prompt};
use crate::stop::{Held, Released};
use crate::{Decode, GenerateError, Unfolding};

/// The state of one row.
pub(crate) struct Row {
    /// Tokens of the prompt, and of the answer so far.
    ids: Vec<u32>,
    prompt: usize,
    most: usize,
    number: u64,
    unfolding: Unfolding,
    held: Held,
    text: String,
    end: Option<End>,
}

impl Row {
    pub(crate) fn new(prompt: &Prompt) -> Self {
        Self {
            ids: prompt.ids.clone(),
            prompt: prompt.ids.len(),
            most: prompt.ids.len() + prompt.max_tokens,
            number: prompt.number,
            unfolding: Unfolding::after(&prompt.ids),
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
    pub(crate) fn write(
        &mut self,
        logits: Vec<f32>,
        options: &Options,
        decode: &Decode,
    ) -> Result<String, GenerateError> {
        let id = options.sampling.choose(logits, &self.ids, self.number)?;
        self.ids.push(id);
        if options.end_ids.contains(&id) {
            return Ok(self.finish(End::Token, options, decode));
        }
        let piece = self.unfolding.push(id, decode);
        let mut certain = self.release(&piece, options);
        if !self.has_ended() && self.ids.len() == self.most {
            certain += &self.finish(End::Length, options, decode);
        }
        Ok(certain)
    }

    /// Ends the row if it has not ended yet, and returns the rest of its text.
    pub(crate) fn finish(&mut self, end: End, options: &Options, decode: &Decode) -> String {
        if self.has_ended() {
            return String::new();
        }
        let rest = self.unfolding.rest(decode);
        let mut certain = self.release(&rest, options);
        let held = self.held.rest();
        self.text += &held;
        certain += &held;
        // The last bytes may have completed a stop string.
        self.end.get_or_insert(end);
        certain
    }

    fn release(&mut self, piece: &str, options: &Options) -> String {
        let Released { text, is_stopped } = self.held.push(piece, &options.stop);
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
