//! What a document of a plain text is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a document of a plain text is. A row of a JSON Lines file is one in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// Paragraphs if there are blank lines between lines, else lines.
    #[default]
    Auto,
    /// Each line that is not blank.
    Line,
    /// The lines between blank ones.
    Paragraph,
    /// The whole file.
    File,
}

impl Documents {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Line, Self::Paragraph, Self::File];
}

impl fmt::Display for Documents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::Line => "line",
            Self::Paragraph => "paragraph",
            Self::File => "file",
        })
    }
}

/// A name that does not say what a document is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("documents `{0}` are not known")]
pub struct UnknownDocuments(String);

impl UnknownDocuments {
    /// The names that are known.
    pub fn hint(&self) -> Option<String> {
        let names = Documents::ALL.map(|documents| format!("`{documents}`"));
        Some(format!("use one of: {}", names.join(", ")))
    }
}

impl FromStr for Documents {
    type Err = UnknownDocuments;

    fn from_str(name: &str) -> Result<Self, UnknownDocuments> {
        let found = Self::ALL
            .into_iter()
            .find(|documents| documents.to_string() == name);
        found.ok_or_else(|| UnknownDocuments(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for documents in Documents::ALL {
            assert_eq!(documents.to_string().parse(), Ok(documents));
        }
        let error = "page".parse::<Documents>().unwrap_err();
        assert_eq!(error.to_string(), "documents `page` are not known");
        assert!(error.hint().unwrap().contains("`paragraph`"));
    }
}
