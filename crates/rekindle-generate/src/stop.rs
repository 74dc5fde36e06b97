//! Texts at which an answer ends.

/// Text that is on its way out: what may be the beginning of a stop string waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    text: String,
}

/// What of the text is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// Text that no stop string can take away any more.
    pub(crate) text: String,
    /// Whether a stop string came; the text before it is the last.
    pub(crate) is_stopped: bool,
}

impl Held {
    /// Takes new text and gives back what is decided.
    ///
    /// The stop string that is complete first counts, so that it does not matter how the text comes in
    /// pieces.
    pub(crate) fn push(&mut self, piece: &str, stops: &[String]) -> Released {
        self.text += piece;
        let found = stops.iter().filter_map(|stop| {
            let start = self.text.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        if let Some((_, start)) = found.min() {
            self.text.truncate(start);
            return Released {
                text: self.rest(),
                is_stopped: true,
            };
        }
        let waiting = self.waiting(stops);
        let held = self.text.split_off(self.text.len() - waiting);
        Released {
            text: std::mem::replace(&mut self.text, held),
            is_stopped: false,
        }
    }

    /// What still waits, at the end of an answer.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Bytes at the end that some stop string begins with.
    fn waiting(&self, stops: &[String]) -> usize {
        let longest = |stop: &String| {
            (1..stop.len())
                .rev()
                .filter(|&length| stop.is_char_boundary(length))
                .find(|&length| self.text.ends_with(&stop[..length]))
        };
        stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out piece by piece, and whether it was stopped.
    fn released(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut held = Held::default();
        let mut texts = Vec::new();
        for piece in pieces {
            let released = held.push(piece, &stops);
            texts.push(released.text);
            if released.is_stopped {
                assert_eq!(held.rest(), "");
                return (texts, true);
            }
        }
        texts.push(held.rest());
        (texts, false)
    }

    #[test]
    fn text_flows_where_nothing_stops() {
        assert_eq!(
            released(&[], &["a", "bc"]),
            (vec!["a".into(), "bc".into(), String::new()], false)
        );
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_cut_off() {
        let (texts, is_stopped) = released(&["###"], &["a#", "b##", "#c"]);
        assert_eq!(texts, ["a", "#b", ""]);
        assert!(is_stopped);
    }

    #[test]
    fn the_beginning_of_a_stop_string_comes_out_at_the_end() {
        let (texts, is_stopped) = released(&["\n\nQ:"], &["yes\n", "\nQ"]);
        assert_eq!(texts, ["yes", "", "\n\nQ"]);
        assert!(!is_stopped);
    }

    #[test]
    fn the_string_that_is_complete_first_counts_however_the_text_is_cut() {
        for pieces in [&["xabc"][..], &["xa", "bc"], &["x", "a", "b", "c"]] {
            let (texts, is_stopped) = released(&["abc", "b"], pieces);
            assert_eq!(texts.concat(), "xa", "{pieces:?}");
            assert!(is_stopped);
        }
    }

    #[test]
    fn letters_of_several_bytes_are_not_cut() {
        let (texts, is_stopped) = released(&["éé"], &["aé", "b", "éé"]);
        assert_eq!(texts, ["a", "éb", ""]);
        assert!(is_stopped);
    }
}
