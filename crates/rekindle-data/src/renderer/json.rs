//! JSON with the spaces of Python's `json.dumps`.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use serde_json::{Map, Value};

/// Puts a space after each comma and colon.
#[derive(Debug)]
struct Spaced(CompactFormatter);

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// A value as Python writes it, on one line or with this indent.
pub(super) fn to_json(value: Value, indent: Option<usize>, sort_keys: bool) -> String {
    let value = if sort_keys { sorted(value) } else { value };
    let mut bytes = Vec::new();
    let written = if let Some(indent) = indent {
        let indent = " ".repeat(indent);
        let formatter = PrettyFormatter::with_indent(indent.as_bytes());
        value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
    } else {
        let formatter = Spaced(CompactFormatter);
        value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
    };
    written.expect("a value of JSON has text as keys, and memory does not fail");
    String::from_utf8(bytes).expect("JSON is written as UTF-8")
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_spaced_as_in_python() {
        let value = json!({"b": [1, "é<", null], "a": {}});
        assert_eq!(
            to_json(value.clone(), None, false),
            r#"{"b": [1, "é<", null], "a": {}}"#
        );
        assert_eq!(
            to_json(value.clone(), None, true),
            r#"{"a": {}, "b": [1, "é<", null]}"#
        );
        assert_eq!(
            to_json(json!({"a": [1]}), Some(2), false),
            "{\n  \"a\": [\n    1\n  ]\n}"
        );
    }
}
