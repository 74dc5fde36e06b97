//! Text that grows with each token.

/// The text of tokens; special ones have none.
pub type Decode<'a> = dyn Fn(&[u32]) -> String + 'a;

/// Tokens before a new one that may change how it is written: a space before a word, bytes of one letter.
const CONTEXT: usize = 8;

/// Tokens of a letter, at most: one for each byte in UTF-8.
const LETTER: usize = 4;

/// Turns tokens, one after the other, into pieces of text that join to the text of all.
///
/// A token's text depends on those before it (many tokenizers write no space before the first word), so the
/// prompt's last tokens are the context of the first new one.
#[derive(Clone, Debug)]
pub struct Unfolding {
    ids: Vec<u32>,
    /// Tokens of which the text is out already.
    told: usize,
}

impl Unfolding {
    /// Text that goes on from a prompt.
    pub fn after(prompt: &[u32]) -> Self {
        let ids = prompt[prompt.len().saturating_sub(CONTEXT)..].to_vec();
        let told = ids.len();
        Self { ids, told }
    }

    /// Takes a token and gives the text that is certain now; none while bytes of a letter are missing.
    pub fn push(&mut self, id: u32, decode: &Decode) -> String {
        self.ids.push(id);
        let text = self.untold(decode);
        // Letters that lack bytes are written as replacement characters; bytes that make no letter stay so.
        let is_certain = self.ids.len() - self.told > LETTER;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && !is_certain {
            return String::new();
        }
        self.tell();
        text
    }

    /// The text that was held back, at the end.
    pub fn rest(&mut self, decode: &Decode) -> String {
        let text = self.untold(decode);
        self.tell();
        text
    }

    fn untold(&self, decode: &Decode) -> String {
        let told = decode(&self.ids[..self.told]);
        let all = decode(&self.ids);
        let shared = all.bytes().zip(told.bytes()).take_while(|(a, b)| a == b);
        let mut shared = shared.count();
        while !all.is_char_boundary(shared) {
            shared -= 1;
        }
        all[shared..].to_owned()
    }

    fn tell(&mut self) {
        self.ids.drain(..self.ids.len().saturating_sub(CONTEXT));
        self.told = self.ids.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte is one token.
    fn bytes(ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().map(|&id| id as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn pieces(text: &str) -> Vec<String> {
        let mut unfolding = Unfolding::after(b"x".map(u32::from).as_slice());
        let push = |byte| unfolding.push(u32::from(byte), &bytes);
        text.bytes().map(push).collect()
    }

    #[test]
    fn letters_come_out_whole() {
        assert_eq!(pieces("aé€"), ["a", "", "é", "", "", "€"]);
        let long = "naïve — 😀, ".repeat(20);
        assert_eq!(pieces(&long).concat(), long);
    }

    #[test]
    fn bytes_of_a_letter_that_never_ends_come_out_as_a_sign_of_it() {
        let mut unfolding = Unfolding::after(&[]);
        assert_eq!(unfolding.push(0xe2, &bytes), "");
        assert_eq!(unfolding.rest(&bytes), "\u{fffd}");
        assert_eq!(unfolding.rest(&bytes), "");
    }

    #[test]
    fn bytes_that_make_no_letter_do_not_wait_for_ever() {
        let mut unfolding = Unfolding::after(&[]);
        let texts = [0x80; 6].map(|byte| unfolding.push(byte, &bytes));
        assert_eq!(texts.concat(), "\u{fffd}".repeat(5));
        assert_eq!(unfolding.push(97, &bytes), "\u{fffd}a");
    }

    #[test]
    fn the_first_word_keeps_its_space() {
        // As Llama's tokenizer: a word's mark is a space, except at the beginning of the text.
        let words = |ids: &[u32]| -> String {
            let text: String = ids.iter().map(|id| format!(" w{id}")).collect();
            text.trim_start().to_owned()
        };
        let mut unfolding = Unfolding::after(&[1, 2]);
        assert_eq!(unfolding.push(3, &words), " w3");
        assert_eq!(unfolding.push(4, &words), " w4");
        let mut alone = Unfolding::after(&[]);
        assert_eq!(alone.push(3, &words), "w3");
    }

    #[test]
    fn tokens_without_text_add_nothing() {
        let silent =
            |ids: &[u32]| bytes(&ids.iter().copied().filter(|&id| id > 0).collect::<Vec<_>>());
        let mut unfolding = Unfolding::after(&[0, 0]);
        let pieces = [97, 0, 98].map(|id| unfolding.push(id, &silent));
        assert_eq!(pieces, ["a", "", "b"]);
    }
}
