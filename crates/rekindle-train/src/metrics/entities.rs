//! Tagged tokens: entities found as `conlleval` and seqeval's default mode find them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::score::{ClassScore, Counts, ratio};

/// Scores of a token classification, by whole entities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityReport {
    /// Share of the predicted entities that are right in type and both ends.
    pub precision: f64,
    /// Share of the expected entities that are found.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Share of tokens whose tag is right, `O` included.
    pub token_accuracy: f64,
    /// Scores by entity type, in the order of the names.
    pub types: BTreeMap<String, ClassScore>,
}

/// Compares the tags of sentences, one tag per token.
///
/// A tag is a prefix (its first character: `B`, `I`, `E`, `S` or `O`) and a type (what follows the
/// first `-` after it, else all that follows it, else `_`). `B` and `S` start an entity, `E` and
/// `S` end one, and so does a change of type: a stray `I-PER` starts an entity, and a tag without
/// a known prefix, such as `NOUN`, forms one with its neighbors of the same type. An empty tag
/// counts as `O`.
///
/// # Panics
/// If the two differ in the number of sentences, or in the number of tokens of one.
pub fn entities<E: AsRef<str>, P: AsRef<str>>(
    expected: &[Vec<E>],
    predicted: &[Vec<P>],
) -> EntityReport {
    assert_eq!(
        expected.len(),
        predicted.len(),
        "one prediction per sentence"
    );
    let (mut tokens, mut right) = (0, 0);
    for (expected, predicted) in expected.iter().zip(predicted) {
        assert_eq!(expected.len(), predicted.len(), "one tag per token");
        let pairs = expected.iter().zip(predicted);
        right += pairs.filter(|(e, p)| e.as_ref() == p.as_ref()).count();
        tokens += expected.len();
    }
    let counts = count_by_type(&find(expected), &find(predicted));
    let total = Counts::sum(counts.values().copied()).score();
    EntityReport {
        precision: total.precision,
        recall: total.recall,
        f1: total.f1,
        token_accuracy: ratio(right, tokens),
        types: counts
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count.score()))
            .collect(),
    }
}

/// Type, first and last token; tokens are numbered through all sentences.
type Entity<'a> = (&'a str, usize, usize);

fn count_by_type<'a>(
    expected: &BTreeSet<Entity<'a>>,
    predicted: &BTreeSet<Entity<'a>>,
) -> BTreeMap<&'a str, Counts> {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for entity in expected {
        let count = counts.entry(entity.0).or_default();
        count.expected += 1;
        count.hits += usize::from(predicted.contains(entity));
    }
    for entity in predicted {
        counts.entry(entity.0).or_default().predicted += 1;
    }
    counts
}

/// A tag in its two parts.
#[derive(Clone, Copy)]
struct Tag<'a> {
    prefix: char,
    kind: &'a str,
}

impl<'a> Tag<'a> {
    /// What stands between sentences, so that no entity crosses from one to the next.
    const OUTSIDE: Self = Self {
        prefix: 'O',
        kind: "_",
    };

    fn parse(text: &'a str) -> Self {
        let mut characters = text.chars();
        let prefix = characters.next().unwrap_or('O');
        let rest = characters.as_str();
        let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
        Self {
            prefix,
            kind: if kind.is_empty() { "_" } else { kind },
        }
    }

    fn is_inside(self) -> bool {
        !matches!(self.prefix, 'O' | '.')
    }

    /// True if an entity that holds this tag ends before `next`.
    fn ends_before(self, next: Self) -> bool {
        match (self.prefix, next.prefix) {
            ('E' | 'S', _) | ('B' | 'I', 'B' | 'S' | 'O') => true,
            _ => self.is_inside() && self.kind != next.kind,
        }
    }

    /// True if an entity starts with this tag.
    fn starts_after(self, previous: Self) -> bool {
        match (previous.prefix, self.prefix) {
            (_, 'B' | 'S') | ('E' | 'S' | 'O', 'E' | 'I') => true,
            _ => self.is_inside() && self.kind != previous.kind,
        }
    }
}

/// The entities of all sentences.
fn find<S: AsRef<str>>(sentences: &[Vec<S>]) -> BTreeSet<Entity<'_>> {
    let tags = sentences.iter().flat_map(|sentence| {
        let tags = sentence.iter().map(|tag| Tag::parse(tag.as_ref()));
        tags.chain([Tag::OUTSIDE])
    });
    let mut found = BTreeSet::new();
    let mut previous = Tag::OUTSIDE;
    let mut start = 0;
    for (position, tag) in tags.enumerate() {
        if previous.ends_before(tag) {
            found.insert((previous.kind, start, position - 1));
        }
        if tag.starts_after(previous) {
            start = position;
        }
        previous = tag;
    }
    found
}
