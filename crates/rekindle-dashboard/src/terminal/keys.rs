//! What keys do.

/// A key that the dashboard knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Interrupt,
    Escape,
    Next,
    Previous,
}

/// The keys in what a terminal sent at once; other keys are passed over.
#[cfg(unix)]
pub(super) fn parse(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0x03 => keys.push(Key::Interrupt),
            b'\t' => keys.push(Key::Next),
            0x1b => {
                let (key, after) = parse_escape(after);
                keys.extend(key);
                rest = after;
            }
            b' '..=b'~' => keys.push(Key::Char(byte.into())),
            _ => {}
        }
    }
    keys
}

/// What follows an escape: nothing (the key itself), a sequence of a special key, or a letter that was
/// pressed together with Alt.
#[cfg(unix)]
fn parse_escape(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let Some((&lead, rest)) = bytes.split_first() else {
        return (Some(Key::Escape), bytes);
    };
    if lead != b'[' && lead != b'O' {
        return (None, rest);
    }
    let length = rest
        .iter()
        .position(|byte| (0x40..=0x7e).contains(byte))
        .map_or(rest.len(), |last| last + 1);
    let (sequence, rest) = rest.split_at(length);
    let key = match sequence.last() {
        Some(b'B' | b'C') => Some(Key::Next),
        Some(b'A' | b'D' | b'Z') => Some(Key::Previous),
        _ => None,
    };
    (key, rest)
}

/// How far the user got with stopping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stop {
    #[default]
    No,
    Asked,
    Stopping,
}

/// What the training is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Stop after this step.
    Stop,
    /// Stop at once.
    StopNow,
}

/// What the user chose to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) chart: usize,
    pub(super) shows_help: bool,
    pub(super) shows_notes: bool,
    pub(super) stop: Stop,
}

impl View {
    /// Takes a key, with as many charts to choose from.
    pub(super) fn press(&mut self, key: Key, charts: usize) -> Option<Action> {
        match (self.stop, key) {
            (Stop::No, Key::Char('q') | Key::Interrupt) => self.stop = Stop::Asked,
            (Stop::Asked, Key::Char('y' | 'Y') | Key::Interrupt) => {
                self.stop = Stop::Stopping;
                return Some(Action::Stop);
            }
            (Stop::Asked, Key::Char('n' | 'N') | Key::Escape) => self.stop = Stop::No,
            (Stop::Stopping, Key::Interrupt) => return Some(Action::StopNow),
            _ => self.look(key, charts),
        }
        None
    }

    fn look(&mut self, key: Key, charts: usize) {
        match key {
            Key::Char('?' | 'h') => self.shows_help = !self.shows_help,
            Key::Char('w') => self.shows_notes = !self.shows_notes,
            Key::Escape => (self.shows_help, self.shows_notes) = (false, false),
            Key::Next if charts > 0 => self.chart = (self.chart + 1) % charts,
            Key::Previous if charts > 0 => self.chart = (self.chart + charts - 1) % charts,
            Key::Char(digit @ '1'..='9') => {
                let chart = digit as usize - '1' as usize;
                if chart < charts {
                    self.chart = chart;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_is_asked_twice() {
        let mut view = View::default();
        assert_eq!(view.press(Key::Char('q'), 3), None);
        assert_eq!(view.stop, Stop::Asked);
        assert_eq!(view.press(Key::Char('x'), 3), None);
        assert_eq!(view.press(Key::Char('n'), 3), None);
        assert_eq!(view.stop, Stop::No);
        assert_eq!(view.press(Key::Char('y'), 3), None);
        assert_eq!(view.stop, Stop::No);
        view.press(Key::Char('q'), 3);
        assert_eq!(view.press(Key::Char('y'), 3), Some(Action::Stop));
        assert_eq!(view.stop, Stop::Stopping);
    }

    #[test]
    fn interrupting_asks_then_stops_then_stops_at_once() {
        let mut view = View::default();
        assert_eq!(view.press(Key::Interrupt, 3), None);
        assert_eq!(view.press(Key::Interrupt, 3), Some(Action::Stop));
        assert_eq!(view.press(Key::Char('q'), 3), None);
        assert_eq!(view.press(Key::Interrupt, 3), Some(Action::StopNow));
    }

    #[test]
    fn charts_go_around_and_have_numbers() {
        let mut view = View::default();
        let mut chart_after = |key, charts| {
            view.press(key, charts);
            view.chart
        };
        assert_eq!(chart_after(Key::Previous, 3), 2);
        assert_eq!(chart_after(Key::Next, 3), 0);
        assert_eq!(chart_after(Key::Char('2'), 3), 1);
        assert_eq!(chart_after(Key::Char('9'), 3), 1);
        assert_eq!(chart_after(Key::Next, 0), 1);
    }

    #[test]
    fn escape_closes_what_is_open() {
        let mut view = View::default();
        view.press(Key::Char('?'), 1);
        view.press(Key::Char('w'), 1);
        assert!(view.shows_help && view.shows_notes);
        view.press(Key::Escape, 1);
        assert_eq!(view, View::default());
    }

    #[test]
    #[cfg(unix)]
    fn bytes_of_a_terminal_become_keys() {
        let keys = parse(b"q\x03\t\x1b[A\x1b[B\x1bOC\x1b[D\x1b[Z\x1b[1;5C\x1b");
        let expected = [
            Key::Char('q'),
            Key::Interrupt,
            Key::Next,
            Key::Previous,
            Key::Next,
            Key::Next,
            Key::Previous,
            Key::Previous,
            Key::Next,
            Key::Escape,
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    #[cfg(unix)]
    fn unknown_bytes_are_no_keys() {
        assert_eq!(parse("\u{1a}é\x1bq\x1b[15~\x1b[".as_bytes()), []);
    }
}
