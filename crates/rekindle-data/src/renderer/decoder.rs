//! Tokens to text, piece by piece as they come.

use tokenizers::Tokenizer;

/// A character takes at most this many tokens, one for each of its bytes.
const BYTES_OF_CHARACTER: usize = 4;
/// Tokens before the answer that decide how it begins, for instance whether with a space.
const CONTEXT: usize = 8;

/// Turns an answer into text while it is being written.
///
/// A piece is handed out when its characters are complete; all pieces together are the answer's text.
#[derive(Debug)]
pub struct Decoder<'r> {
    tokenizer: &'r Tokenizer,
    /// Tokens whose text was handed out and that decide how the next ones read, then the others.
    ids: Vec<u32>,
    /// How many of them were handed out.
    done: usize,
}

impl<'r> Decoder<'r> {
    pub(super) fn new(tokenizer: &'r Tokenizer, prompt: &[u32]) -> Self {
        let ids = prompt[prompt.len().saturating_sub(CONTEXT)..].to_vec();
        Self {
            tokenizer,
            done: ids.len(),
            ids,
        }
    }

    /// Takes the next token; the text that is complete with it, perhaps none.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let text = self.pending();
        let waits = self.ids.len() - self.done < BYTES_OF_CHARACTER;
        // An incomplete character is decoded as this one.
        if waits && text.ends_with(char::REPLACEMENT_CHARACTER) {
            return String::new();
        }
        let kept = self.ids.len().saturating_sub(CONTEXT).min(self.done);
        self.ids.drain(..kept);
        self.done = self.ids.len();
        text
    }

    /// The text of the last tokens, even if it is not complete.
    pub fn finish(self) -> String {
        self.pending()
    }

    /// The text of the tokens that were not handed out.
    fn pending(&self) -> String {
        let before = decode(self.tokenizer, &self.ids[..self.done]);
        let whole = decode(self.tokenizer, &self.ids);
        let common = whole.bytes().zip(before.bytes());
        let mut same = common.take_while(|(a, b)| a == b).count();
        while !whole.is_char_boundary(same) {
            same -= 1;
        }
        whole[same..].to_owned()
    }
}

/// The text of tokens without the special ones.
pub(super) fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    // An id without a token has no text.
    tokenizer.decode(ids, true).unwrap_or_default()
}
