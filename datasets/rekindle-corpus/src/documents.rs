//! How the documents of a file are told apart, as the file's own shape tells it.

use std::path::Path;

use rekindle_data::Documents;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the documents of one file are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A JSON object on each line.
    Rows,
    Lines,
    Paragraphs,
    Whole,
}

impl Kind {
    /// The word that keys of caches hold.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Lines => "lines",
            Self::Paragraphs => "paragraphs",
            Self::Whole => "whole",
        }
    }

    /// The kind of a file that begins with `head`, and what tells so; none if it is a table, not a text.
    pub(crate) fn of(path: &Path, head: &[u8], documents: Documents) -> Option<(Self, String)> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => {
                return Some((Self::Rows, format!("extension `.{extension}`")));
            }
            "csv" | "tsv" | "tab" | "conll" | "bio" | "iob" | "iob2" => return None,
            _ => {}
        }
        let head = String::from_utf8_lossy(head);
        if begins_with_row(&head) {
            return Some((Self::Rows, "begins with a JSON object".to_owned()));
        }
        Some(match documents {
            Documents::Line => (Self::Lines, "given".to_owned()),
            Documents::Paragraph => (Self::Paragraphs, "given".to_owned()),
            Documents::File => (Self::Whole, "given".to_owned()),
            Documents::Auto if has_paragraphs(&head) => {
                (Self::Paragraphs, "blank lines between them".to_owned())
            }
            Documents::Auto => (Self::Lines, "no blank lines between lines".to_owned()),
        })
    }
}

/// Whether the first line is a row of JSON Lines, which are often saved as `.txt`.
fn begins_with_row(head: &str) -> bool {
    let mut lines = head.trim_start_matches('\u{feff}').lines();
    let first = lines.find(|line| !line.trim().is_empty());
    let is_row = |line: &str| {
        serde_json::from_str::<Value>(line).is_ok_and(|value| value.get("text").is_some())
    };
    first.is_some_and(|line| line.trim_start().starts_with('{') && is_row(line))
}

/// Whether a blank line stands between two others.
fn has_paragraphs(head: &str) -> bool {
    let blank = head.lines().map(|line| line.trim().is_empty());
    let mut lines = blank
        .skip_while(|is_blank| *is_blank)
        .skip_while(|is_blank| !*is_blank);
    lines.any(|is_blank| !is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, head: &str) -> Kind {
        let (kind, _) = Kind::of(Path::new(name), head.as_bytes(), Documents::Auto).unwrap();
        kind
    }

    #[test]
    fn a_blank_line_between_lines_makes_paragraphs() {
        assert_eq!(kind("a.txt", "one\ntwo\n"), Kind::Lines);
        assert_eq!(kind("a.txt", "\n\none\ntwo\n\n \n"), Kind::Lines);
        assert_eq!(kind("a.txt", "one\n \r\ntwo\n"), Kind::Paragraphs);
        assert_eq!(kind("a.txt", ""), Kind::Lines);
    }

    #[test]
    fn rows_are_told_by_extension_or_by_the_first_line() {
        assert_eq!(kind("a.NDJSON", "one"), Kind::Rows);
        assert_eq!(kind("a.txt", "\u{feff}\n{\"text\": \"a\"}\n"), Kind::Rows);
        assert_eq!(kind("a.txt", "{\"prompt\": \"a\"}"), Kind::Lines);
        assert_eq!(kind("a.txt", "[Illustration]\n{"), Kind::Lines);
        assert_eq!(kind("README", "one"), Kind::Lines);
        assert_eq!(Kind::of(Path::new("a.csv"), b"", Documents::Line), None);
    }
}
