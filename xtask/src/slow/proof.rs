//! What was to be shown, and what was found.

use std::iter;

use serde_json::Value;

/// A number with the bound that it must keep.
#[derive(Debug)]
pub(super) struct Proof {
    what: String,
    bound: Bound,
    found: f64,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Proof {
    pub(super) fn at_least(what: String, least: f64, found: f64) -> Self {
        Self {
            what,
            bound: Bound::AtLeast(least),
            found,
        }
    }

    pub(super) fn at_most(what: String, most: f64, found: f64) -> Self {
        Self {
            what,
            bound: Bound::AtMost(most),
            found,
        }
    }

    pub(super) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.found >= least,
            Bound::AtMost(most) => self.found <= most,
        }
    }
}

/// A line for each proof, with its verdict.
pub(super) fn table(proofs: &[Proof]) -> String {
    let width = proofs
        .iter()
        .map(|proof| proof.what.chars().count())
        .max()
        .unwrap_or(0);
    let head = format!(
        "{:<width$}  {:>10}  {:>10}  verdict",
        "proof", "expected", "found"
    );
    let lines = proofs.iter().map(|proof| {
        let Proof { what, bound, found } = proof;
        let [bound, found] = match bound {
            Bound::AtLeast(least) => [format!(">= {least:.4}"), format!("{found:.4}")],
            Bound::AtMost(most) => [format!("<= {most:.1e}"), format!("{found:.1e}")],
        };
        let verdict = if proof.holds() { "holds" } else { "FAILS" };
        format!("{what:<width$}  {bound:>10}  {found:>10}  {verdict}")
    });
    iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

/// The largest difference between numbers at the same place; nothing if the shapes differ.
pub(super) fn largest_difference(one: &[Value], other: &[Value]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    let differences = one.iter().zip(other).map(|pair| match pair {
        (Value::Array(one), Value::Array(other)) => largest_difference(one, other),
        (one, other) => Some((one.as_f64()? - other.as_f64()?).abs()),
    });
    differences
        .collect::<Option<Vec<_>>>()
        .map(|all| all.into_iter().fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(one: Value, other: Value) -> Option<f64> {
        largest_difference(one.as_array().unwrap(), other.as_array().unwrap())
    }

    #[test]
    fn the_largest_difference_is_found_at_any_depth() {
        assert_eq!(
            difference(json!([[1.0, 2.0], [3.0]]), json!([[1.0, 2.5], [2.75]])),
            Some(0.5)
        );
        assert_eq!(difference(json!([1, -2]), json!([1, 2])), Some(4.0));
    }

    #[test]
    fn other_shapes_and_missing_numbers_have_no_difference() {
        assert_eq!(difference(json!([1.0]), json!([1.0, 2.0])), None);
        assert_eq!(difference(json!([[1.0]]), json!([1.0])), None);
        assert_eq!(difference(json!([null]), json!([1.0])), None);
    }

    #[test]
    fn a_bound_is_kept_or_not() {
        assert!(Proof::at_least(String::new(), 0.9, 0.9).holds());
        assert!(!Proof::at_least(String::new(), 0.9, 0.89).holds());
        assert!(Proof::at_most(String::new(), 1e-4, 1e-5).holds());
        assert!(!Proof::at_most(String::new(), 1e-4, f64::NAN).holds());
    }

    #[test]
    fn the_table_tells_each_verdict() {
        let proofs = [
            Proof::at_least("accuracy".to_owned(), 0.9, 0.95),
            Proof::at_most("logits".to_owned(), 1e-4, 2e-3),
        ];
        let expected = "proof       expected       found  verdict\n\
                        accuracy   >= 0.9000      0.9500  holds\n\
                        logits     <= 1.0e-4      2.0e-3  FAILS";
        assert_eq!(table(&proofs), expected);
    }
}
