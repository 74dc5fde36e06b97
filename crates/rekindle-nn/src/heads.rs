//! The shape of an attention.

/// Heads of an attention, and which tokens each token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Heads of the queries.
    pub queries: usize,
    /// Heads of the keys and values; each serves `queries / keys` neighboring query heads (Ainslie et
    /// al., 2023).
    pub keys: usize,
    /// Numbers in a head.
    pub size: usize,
    /// Which tokens of its row a token sees.
    pub sight: Sight,
}

/// Which tokens of its row a token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All.
    Full,
    /// Itself and those before it; with a window, itself and the `window - 1` before it.
    Causal {
        /// Tokens that are seen, at most.
        window: Option<usize>,
    },
    /// All, and nobody looks but the first token of a row: queries and outputs are its own alone.
    FromFirst,
}

impl Heads {
    /// As many heads for the keys as for the queries, and every token sees all of its row.
    pub fn bidirectional(number: usize, size: usize) -> Self {
        Self {
            queries: number,
            keys: number,
            size,
            sight: Sight::Full,
        }
    }
}

impl Sight {
    /// Whether the token at position `from` sees the one at position `to` of the same row.
    pub fn sees(self, from: usize, to: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Causal { window } => to <= from && window.is_none_or(|window| from - to < window),
            Self::FromFirst => from == 0,
        }
    }
}
