//! Marks around the contents of messages, each with the number of its message.

use super::encode::{DIGIT, MARK_BEGIN, MARK_END};

/// Values of a digit.
const BASE: usize = 16;

/// Where the marks of a content stood, in the text without marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    pub(super) begins: Vec<usize>,
    pub(super) ends: Vec<usize>,
}

/// A content with marks around what is not white space at its ends, which templates may cut off; `number`
/// is below `count`.
pub(super) fn around(content: &str, number: usize, count: usize) -> String {
    let core = content.trim();
    let lead = content.len() - content.trim_start().len();
    let (before, after) = (&content[..lead], &content[lead + core.len()..]);
    let number = digits(number, count);
    format!("{before}{MARK_BEGIN}{number}{core}{MARK_END}{number}{after}")
}

/// A text without its marks, and the edges of these messages; `None` if a mark is not whole or is of
/// another message.
pub(super) fn read(marked: &str, numbers: &[usize], count: usize) -> Option<(String, Vec<Edges>)> {
    let width = digits(0, count).chars().count();
    let mut text = String::with_capacity(marked.len());
    let mut edges = vec![Edges::default(); numbers.len()];
    let mut characters = marked.chars();
    while let Some(character) = characters.next() {
        if digit(character).is_some() {
            return None;
        }
        if character != MARK_BEGIN && character != MARK_END {
            text.push(character);
            continue;
        }
        let mut number = 0;
        for _ in 0..width {
            number = number * BASE + digit(characters.next()?)?;
        }
        let edges = &mut edges[numbers.binary_search(&number).ok()?];
        if character == MARK_BEGIN {
            edges.begins.push(text.len());
        } else {
            edges.ends.push(text.len());
        }
    }
    Some((text, edges))
}

/// A number in as many digits as the largest below `count` has.
fn digits(number: usize, count: usize) -> String {
    let (mut text, mut rest, mut largest) = (Vec::new(), number, count.saturating_sub(1));
    loop {
        let digit = char::from_u32(DIGIT as u32 + (rest % BASE) as u32);
        text.push(digit.expect("all sixteen are characters"));
        (rest, largest) = (rest / BASE, largest / BASE);
        if largest == 0 {
            return text.into_iter().rev().collect();
        }
    }
}

fn digit(character: char) -> Option<usize> {
    let value = (character as usize).checked_sub(DIGIT as usize)?;
    (value < BASE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(begin: usize, end: usize) -> Edges {
        Edges {
            begins: vec![begin],
            ends: vec![end],
        }
    }

    #[test]
    fn marks_tell_where_each_content_was() {
        let marked = format!("<{}><{}>", around(" a b ", 0, 300), around("c", 299, 300));
        let (text, found) = read(&marked, &[0, 299], 300).unwrap();
        assert_eq!(text, "< a b ><c>");
        assert_eq!(found, [edges(2, 5), edges(8, 9)]);
    }

    #[test]
    fn broken_and_foreign_marks_are_no_marks() {
        let marked = around("ab", 1, 300);
        let first: String = marked.chars().skip(1).collect();
        let last: String = marked.chars().take(marked.chars().count() - 1).collect();
        for text in [first, last] {
            assert_eq!(read(&text, &[1], 300), None, "{text:?}");
        }
        assert_eq!(read(&marked, &[2], 300), None);
    }

    #[test]
    fn numbers_have_one_width() {
        for (count, width) in [(1, 1), (16, 1), (17, 2), (256, 2), (257, 3)] {
            for number in [0, count - 1] {
                assert_eq!(
                    digits(number, count).chars().count(),
                    width,
                    "{number} {count}"
                );
            }
        }
    }
}
