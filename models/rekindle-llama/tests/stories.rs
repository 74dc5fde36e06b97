//! A trained model against transformers.
#[test]
fn x() {}
