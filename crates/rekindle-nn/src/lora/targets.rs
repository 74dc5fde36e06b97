//! Which layers get a low-rank adapter, by the names that checkpoints give them.

use std::fmt;

use regex::Regex;

use super::LoraError;

/// The word for every linear layer but the one that gives the outputs.
const ALL_LINEAR: &str = "all-linear";

/// A choice of linear layers by their checkpoint names, as peft's `target_modules`.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Every one but the output layer.
    AllLinear,
    /// Those with one of these names, or whose name ends with a dot and one of them.
    Names(Vec<String>),
    /// Those whose whole name matches.
    Pattern {
        /// The expression as it was given.
        text: String,
        /// The same, held to both ends of a name.
        whole: Regex,
    },
}

impl Targets {
    /// Reads `all-linear`, or a regular expression for a whole name.
    pub fn from_text(text: &str) -> Result<Self, LoraError> {
        if text.eq_ignore_ascii_case(ALL_LINEAR) {
            return Ok(Self::AllLinear);
        }
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(whole) => Ok(Self::Pattern {
                text: text.to_owned(),
                whole,
            }),
            Err(source) => Err(LoraError::Pattern {
                pattern: text.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    /// Whether a layer is chosen; `output` is the module that gives the outputs.
    pub(super) fn selects(&self, layer: &str, output: &str) -> bool {
        match self {
            Self::AllLinear => !is_within(layer, output),
            Self::Names(names) => names.iter().any(|name| is_named(layer, name)),
            Self::Pattern { whole, .. } => whole.is_match(layer),
        }
    }

    /// The first of several names that chooses none of the layers.
    pub(super) fn idle<'a>(&'a self, layers: &[String]) -> Option<&'a str> {
        let Self::Names(names) = self else {
            return None;
        };
        let is_idle = |name: &&String| !layers.iter().any(|layer| is_named(layer, name));
        names.iter().find(is_idle).map(String::as_str)
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllLinear => f.write_str(ALL_LINEAR),
            Self::Names(names) => f.write_str(&names.join(", ")),
            Self::Pattern { text, .. } => f.write_str(text),
        }
    }
}

/// Whether a layer has this name, or one that ends with a dot and it.
fn is_named(layer: &str, name: &str) -> bool {
    let before = layer.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a layer is this module or a part of it.
pub(super) fn is_within(layer: &str, module: &str) -> bool {
    let after = layer.strip_prefix(module);
    after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
}

/// Whether a tensor belongs to a module whose name ends with `suffix`.
///
/// This is how peft finds the modules of `modules_to_save`, without a look at dots: its `classifier`
/// is DistilBERT's `pre_classifier` too.
pub fn is_in_module(tensor: &str, suffix: &str) -> bool {
    let ends = tensor.match_indices('.').map(|(end, _)| end);
    ends.into_iter().any(|end| tensor[..end].ends_with(suffix))
}

/// Layers by what they are called in every block, each with how many there are of it.
pub fn group(layers: &[String]) -> Vec<(String, usize)> {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for layer in layers {
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = layer.split('.').collect();
        let first = parts.iter().rposition(|part| is_number(part));
        let name = parts[first.map_or(0, |number| number + 1)..].join(".");
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => groups.push((name, 1)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn layers_are_chosen_as_peft_chooses_them() {
        let query = "bert.encoder.layer.1.attention.self.query";
        let by_name = Targets::Names(names(&["query", "pooler.dense"]));
        assert!(by_name.selects(query, "classifier"));
        assert!(by_name.selects("bert.pooler.dense", "classifier"));
        assert!(!by_name.selects("bert.encoder.layer.1.output.dense", "classifier"));
        // A part of a word is another word.
        assert!(!by_name.selects("bert.subquery", "classifier"));
        let pattern = Targets::from_text(r".*\.layer\.[01]\..*(query|key)").unwrap();
        assert!(pattern.selects(query, "classifier"));
        assert!(!pattern.selects("x.layer.0.query.more", "classifier"));
        let all = Targets::from_text("All-Linear").unwrap();
        assert!(all.selects("pre_classifier", "classifier"));
        assert!(!all.selects("classifier.out_proj", "classifier"));
    }

    #[test]
    fn targets_are_told_as_they_were_given() {
        for text in ["all-linear", "q_proj", r".*\.(query|key)"] {
            assert_eq!(Targets::from_text(text).unwrap().to_string(), text);
        }
        let list = Targets::Names(names(&["query", "key"]));
        assert_eq!(list.to_string(), "query, key");
    }

    #[test]
    fn a_wrong_pattern_is_an_error() {
        let error = Targets::from_text("(query").unwrap_err();
        assert_eq!(error.to_string(), "not a regular expression: `(query`");
    }

    #[test]
    fn names_without_a_layer_are_found() {
        let layers = names(&["a.query", "a.key"]);
        let targets = Targets::Names(names(&["query", "valeu"]));
        assert_eq!(targets.idle(&layers), Some("valeu"));
        assert_eq!(Targets::Names(names(&["key"])).idle(&layers), None);
    }

    #[test]
    fn saved_modules_are_found_as_peft_finds_them() {
        assert!(is_in_module("classifier.out_proj.weight", "classifier"));
        assert!(is_in_module("pre_classifier.bias", "classifier"));
        assert!(is_in_module("bert.pooler.dense.weight", "bert.pooler"));
        assert!(!is_in_module("bert.pooler.dense.weight", "weight"));
    }

    #[test]
    fn blocks_are_told_together() {
        let layers = names(&["h.0.attn.q", "h.0.mlp", "h.1.attn.q", "h.1.mlp", "pooler"]);
        let expected = [("attn.q", 2), ("mlp", 2), ("pooler", 1)];
        assert_eq!(
            group(&layers),
            expected.map(|(name, count)| (name.to_owned(), count))
        );
    }
}
