//! The labels of a task in the order of their ids.

use std::collections::{BTreeSet, HashMap};

/// Label names; a label's id is its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSet {
    names: Vec<String>,
    ids: HashMap<String, usize>,
}

impl LabelSet {
    /// Labels in the order given, which is that of their ids.
    pub fn from_names(names: Vec<String>) -> Self {
        let mut ids = HashMap::new();
        for (id, name) in names.iter().enumerate() {
            ids.entry(name.clone()).or_insert(id);
        }
        Self { names, ids }
    }

    /// The distinct labels, sorted: by number if all are integers, else by bytes.
    pub fn collect<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let distinct: BTreeSet<&str> = labels.into_iter().collect();
        let mut names: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
        let numbers: Result<Vec<i128>, _> = names.iter().map(|name| name.parse()).collect();
        if numbers.is_ok() {
            names.sort_by_cached_key(|name| name.parse::<i128>().ok());
        }
        Self::from_names(names)
    }

    /// Id of a label.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied()
    }

    /// Name of a label.
    ///
    /// # Panics
    /// If there is no such id.
    pub fn name(&self, id: usize) -> &str {
        &self.names[id]
    }

    /// All names in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if there is no label.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True if both hold the same labels, in whatever order.
    pub fn same_set(&self, other: &Self) -> bool {
        self.len() == other.len() && self.names.iter().all(|name| other.ids.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_sorted_by_number() {
        let labels = LabelSet::collect(["10", "9", "-1", "10"]);
        assert_eq!(labels.names(), ["-1", "9", "10"]);
    }

    #[test]
    fn other_names_are_sorted_by_bytes() {
        let labels = LabelSet::collect(["b", "10", "É", "9", "B"]);
        assert_eq!(labels.names(), ["10", "9", "B", "b", "É"]);
        assert_eq!(labels.index("b"), Some(3));
        assert_eq!(labels.name(3), "b");
        assert_eq!(labels.index("c"), None);
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        assert_eq!(
            LabelSet::collect(["x", "a", "x"]),
            LabelSet::collect(["a", "x"])
        );
    }

    #[test]
    fn equal_sets_may_differ_in_order() {
        let names =
            |list: &[&str]| LabelSet::from_names(list.iter().map(ToString::to_string).collect());
        assert!(names(&["a", "b"]).same_set(&names(&["b", "a"])));
        assert!(!names(&["a", "b"]).same_set(&names(&["a", "c"])));
        assert!(!names(&["a"]).same_set(&names(&["a", "b"])));
        assert!(names(&["b", "a"]) != names(&["a", "b"]));
    }
}
