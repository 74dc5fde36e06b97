//! Text that fits, says numbers shortly, and can do a terminal no harm.

use ratatui::style::Style;
use ratatui::text::Span;

use crate::format::grouped;

/// No text of others is longer.
const LONGEST: usize = 500;

/// Text of others without what a terminal would obey: control characters, and marks that turn the
/// direction of writing.
pub(super) fn harmless(text: &str) -> String {
    let is_harmful = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .take(LONGEST)
        .map(|letter| match letter {
            '\n' | '\r' | '\t' => ' ',
            letter if is_harmful(letter) => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in at most so many columns, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for grapheme in Span::raw(text).styled_graphemes(Style::new()) {
        used += width(grapheme.symbol);
        if used > columns {
            break;
        }
        short.push_str(grapheme.symbol);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// The text at the right end of so many columns.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns - width(&text);
    format!("{:missing$}{text}", "")
}

/// The text at the left end of so many columns.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns - width(&text);
    format!("{text}{:missing$}", "")
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Unit {
    #[default]
    None,
    /// Things, most often thousands of them.
    Count,
    Bytes,
}

impl Unit {
    /// A value, for people.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::None => number(value),
            Self::Count => grouped(value as usize),
            Self::Bytes if value >= 1e9 => format!("{:.2} GB", value / 1e9),
            Self::Bytes => format!("{:.0} MB", value / 1e6),
        }
    }

    /// What the numbers of an axis up to `top` are divided by, and what stands behind them instead.
    pub(super) fn scale(self, top: f64) -> (f64, String) {
        match self {
            Self::Bytes if top >= 1e9 => (1e9, " GB".to_owned()),
            Self::Bytes => (1e6, " MB".to_owned()),
            _ if top >= 1e6 => (1e6, "M".to_owned()),
            _ if top >= 1e4 => (1e3, "k".to_owned()),
            _ if top > 0.0 && top < 1e-2 => {
                let exponent = top.log10().floor();
                (10_f64.powf(exponent), format!("e{exponent}"))
            }
            _ => (1.0, String::new()),
        }
    }
}

/// A number with about four digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size < 10.0 {
        format!("{value:.4}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_move_the_cursor_or_turn_around() {
        let text = harmless("a\u{1b}[2Jb\u{9b}31mc\r\nd\u{202e}e\u{7}日本");
        assert_eq!(text, "a\u{fffd}[2Jb\u{fffd}31mc  d\u{fffd}e\u{fffd}日本");
        assert_eq!(harmless(&"x".repeat(10_000)).len(), LONGEST);
    }

    #[test]
    fn a_cut_never_splits_a_wide_character() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 1), "…");
        assert_eq!(cut("日本語", 0), "");
        assert_eq!(right("日本語", 4), " 日…");
        assert_eq!(left("日本", 6), "日本  ");
    }

    #[test]
    fn numbers_have_about_four_digits() {
        let texts = [0.0, 0.000_05, 0.654_321, 12.345_6, 2e7, f64::NAN].map(number);
        assert_eq!(texts, ["0", "5.00e-5", "0.6543", "12.35", "2.00e7", "NaN"]);
        assert_eq!(Unit::Count.text(12_345.6), "12,345");
        assert_eq!(Unit::Bytes.text(1.5e9), "1.50 GB");
        assert_eq!(Unit::Bytes.text(2.5e8), "250 MB");
    }
}
