//! What a store was made of, in words.

use std::collections::BTreeMap;

use crate::documents::Kind;
use crate::source::Source;
use crate::store::TokenStore;

/// How many files are named one by one.
const SHOWN: usize = 10;

impl TokenStore {
    /// How each file was read, as lines of text; of many files the first ten, then what all of them hold.
    pub fn describe(&self) -> Vec<String> {
        let counted = &self.stored.manifest.sources;
        let cached = if self.is_cached { " (cached)" } else { "" };
        let mut lines: Vec<String> = self
            .sources
            .iter()
            .zip(counted)
            .take(SHOWN)
            .map(|(source, counted)| {
                let documents = documents(source.kind, counted.documents);
                format!(
                    "{}: {documents} ({}), {} tokens{cached}",
                    source.path.display(),
                    source.reason,
                    grouped(counted.tokens),
                )
            })
            .collect();
        if let more @ 1.. = counted.len().saturating_sub(SHOWN) {
            lines.push(format!("and {} more files", grouped(more as u64)));
        }
        if counted.len() > 1 {
            lines.push(format!(
                "{} files: {} documents, {} tokens{cached}",
                grouped(counted.len() as u64),
                grouped(self.documents() as u64),
                grouped(self.tokens()),
            ));
        }
        lines
    }
}

impl TokenStore {
    /// SHA-256 of each file, in hexadecimal digits, by its path.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let named = |source: &Source| (source.path.display().to_string(), source.sha256.clone());
        self.sources.iter().map(named).collect()
    }
}

/// A number of documents, by what they are in their file.
fn documents(kind: Kind, count: u64) -> String {
    let (one, many) = match kind {
        Kind::Rows => ("row", "rows"),
        Kind::Lines => ("line", "lines"),
        Kind::Paragraphs => ("paragraph", "paragraphs"),
        Kind::Whole => return "the whole file as one document".to_owned(),
    };
    match count {
        1 => format!("1 {one} as a document"),
        count => format!("{} {many} as documents", grouped(count)),
    }
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(8_912_345), "8,912,345");
    }

    #[test]
    fn documents_are_named_by_what_they_are() {
        assert_eq!(documents(Kind::Lines, 1), "1 line as a document");
        assert_eq!(
            documents(Kind::Paragraphs, 1200),
            "1,200 paragraphs as documents"
        );
        assert_eq!(documents(Kind::Whole, 1), "the whole file as one document");
    }
}
