//! Columns of text for a terminal.

use unicode_width::UnicodeWidthStr;

/// No cell is wider; the middle of a longer text is left out.
const MAX_WIDTH: usize = 48;

/// Rows with their columns below each other.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| shortened(&plain(cell))).collect())
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line += &" ".repeat(width - cell.width() + 2);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The text without what moves a cursor, colors a terminal or turns the direction of writing.
fn plain(text: &str) -> String {
    let is_unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let fit = |c| if is_unfit(c) { '\u{fffd}' } else { c };
    text.chars().map(fit).collect()
}

fn shortened(text: &str) -> String {
    if text.width() <= MAX_WIDTH {
        return text.to_owned();
    }
    let half = MAX_WIDTH / 2 - 1;
    let start = within(text.chars(), half);
    let end: String = within(text.chars().rev(), half).chars().rev().collect();
    format!("{start}…{end}")
}

/// As many characters as fit into a width.
fn within(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut text = String::new();
    for character in characters {
        text.push(character);
        if text.width() > width {
            text.pop();
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["a", "long"], ["字字", "b"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(align(&rows), "a     long\n字字  b\n");
    }

    #[test]
    fn a_hostile_text_cannot_steer_the_terminal() {
        let rows = [vec!["\u{1b}[31mred\u{202e}\n".to_owned()]];
        assert_eq!(align(&rows), "\u{fffd}[31mred\u{fffd}\u{fffd}\n");
    }

    #[test]
    fn a_long_text_keeps_both_ends() {
        let text = align(&[vec![format!("{}end", "x".repeat(100))]]);
        assert!(
            text.starts_with("xx") && text.trim_end().ends_with("end"),
            "{text}"
        );
        assert!(text.trim_end().width() <= MAX_WIDTH, "{text}");
    }
}
