//! Every format becomes the same records, and a bad row is one error that names its line.

use std::fs;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use rekindle_data::{DataError, Format, Record, Records, RowError};
use serde_json::{Value, json};

type Row = Result<Record, RowError>;

fn read(bytes: impl AsRef<[u8]> + 'static, format: Format) -> Vec<Row> {
    Records::from_reader(Cursor::new(bytes), format).collect()
}

/// Line and fields of every row, which must all be readable.
fn good(bytes: impl AsRef<[u8]> + 'static, format: Format) -> Vec<(usize, Value)> {
    let rows = read(bytes, format).into_iter().map(Result::unwrap);
    rows.map(|row| (row.line, Value::Object(row.fields)))
        .collect()
}

/// The only bad row.
fn bad(rows: &[Row]) -> &RowError {
    let errors: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0]
}

#[test]
fn json_lines_skip_blank_lines_and_keep_line_numbers() {
    let rows = good("{\"a\": 1}\n\n  \n{\"b\": null}", Format::Jsonl);
    assert_eq!(rows, [(1, json!({"a": 1})), (4, json!({"b": null}))]);
}

#[test]
fn a_byte_order_mark_is_dropped_in_every_format() {
    let cases = [
        ("\u{feff}{\"a\": \"x\"}\n", Format::Jsonl, 1),
        ("\u{feff}[{\"a\": \"x\"}]\n", Format::Jsonl, 1),
        ("\u{feff}a\nx\n", Format::Csv, 2),
        ("\u{feff}\"a\"\nx\n", Format::Csv, 2),
        ("\u{feff}a\nx\n", Format::Tsv, 2),
    ];
    for (text, format, line) in cases {
        assert_eq!(good(text, format), [(line, json!({"a": "x"}))], "{text:?}");
    }
    let rows = good("\u{feff}word O\n", Format::Conll);
    assert_eq!(rows, [(1, json!({"tokens": ["word"], "tags": ["O"]}))]);
}

#[test]
fn carriage_returns_belong_to_the_line_break_in_every_format() {
    let rows = good("{\"a\": \"x\"}\r\n\r\n{\"a\": \"y\"}\r\n", Format::Jsonl);
    assert_eq!(rows, [(1, json!({"a": "x"})), (3, json!({"a": "y"}))]);
    for (text, format) in [
        ("a,b\r\nx,1\r\n\r\n\"y\",\"2\"\r\n", Format::Csv),
        ("a\tb\r\nx\t1\r\n\r\n\"y\"\t\"2\"\r\n", Format::Tsv),
    ] {
        let rows = good(text, format);
        let expected = [
            (2, json!({"a": "x", "b": "1"})),
            (4, json!({"a": "y", "b": "2"})),
        ];
        assert_eq!(rows, expected);
    }
    let rows = good("x O\r\n\r\ny B-a\r\n", Format::Conll);
    assert_eq!(rows[1], (3, json!({"tokens": ["y"], "tags": ["B-a"]})));
}

#[test]
fn other_line_separators_stay_inside_a_text() {
    let text = "a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f";
    let rows = good(
        format!("{{\"a\": \"{}\"}}\n", text.replace(['\u{b}', '\u{c}'], "")),
        Format::Jsonl,
    );
    assert_eq!(rows[0].1["a"], "a\u{85}b\u{2028}c\u{2029}def");
    for format in [Format::Csv, Format::Tsv] {
        assert_eq!(
            good(format!("a\n{text}\n"), format),
            [(2, json!({"a": text}))]
        );
    }
    let rows = good("a\u{85}b O\n\u{2028}x O\n", Format::Conll);
    assert_eq!(rows[0].1["tokens"], json!(["a\u{85}b", "\u{2028}x"]));
}

#[test]
fn a_line_that_is_not_an_object_is_an_error() {
    let rows = read("{\"a\": 1}\n\"text\"\n{\"a\": 2}\n", Format::Jsonl);
    let error = bad(&rows);
    assert_eq!(
        error.to_string(),
        "line 2: holds a string, expected an object"
    );
    assert_eq!(rows.len(), 3);
    let rows = read("[1]\n{\"a\": 2}\n", Format::Jsonl);
    assert_eq!((bad(&rows).line, rows.len()), (1, 2));
    let rows = read("{\"a\": 1}\n[\n{\"a\": 2}\n]", Format::Jsonl);
    let is_good: Vec<bool> = rows.iter().map(Result::is_ok).collect();
    assert_eq!(is_good, [true, false, true, false]);
}

#[test]
fn broken_json_names_line_and_column() {
    let rows = read(
        "{\"a\": 1}\n{\"a\": 1\n{\"a\": 2}\n{\"a\": NaN}",
        Format::Jsonl,
    );
    let errors: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(errors.len(), 2);
    assert_eq!(
        errors[0].to_string(),
        "line 2: not valid JSON at column 7: EOF while parsing an object"
    );
    assert_eq!(errors[1].line, 4);
    assert!(read("{\"a\": \"\\ud800\"}", Format::Jsonl)[0].is_err());
}

#[test]
fn a_repeated_key_keeps_its_last_value() {
    assert_eq!(
        good("{\"a\": 1, \"a\": 2}", Format::Jsonl),
        [(1, json!({"a": 2}))]
    );
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_of_their_line() {
    let rows = read(
        b"{\"a\": \"x\"}\n{\"a\": \"\xff\"}\n{\"a\": \"y\"}\n",
        Format::Jsonl,
    );
    assert_eq!(
        bad(&rows).to_string(),
        "line 2: not UTF-8 from byte 8 of the line on"
    );
    assert_eq!(rows.len(), 3);
    for format in [Format::Csv, Format::Tsv] {
        let rows = read(b"a\nx\n\xe9t\xe9\ny\n", format);
        assert_eq!((bad(&rows).line, rows.len()), (3, 3));
    }
    let rows = read(b"a O\n\xe9 O\nb O\n\nc O\n", Format::Conll);
    assert_eq!((bad(&rows).line, rows.len()), (2, 2));
}

#[test]
fn an_array_of_objects_is_read_with_the_line_of_each() {
    let text = "\n[\n  {\"a\": 1},\n  {\n    \"a\": 2\n  }, {\"a\": 3},\n  4\n]\n";
    let rows = read(text, Format::Jsonl);
    let found: Vec<_> = rows
        .iter()
        .flatten()
        .map(|row| (row.line, row.fields["a"].clone()))
        .collect();
    assert_eq!(found, [(3, json!(1)), (4, json!(2)), (6, json!(3))]);
    assert_eq!(
        bad(&rows).to_string(),
        "line 7: holds an integer, expected an object"
    );
}

#[test]
fn a_broken_array_names_the_line_where_it_breaks() {
    let rows = read("[\n{\"a\": 1},\n{\"a\": 2]\n", Format::Jsonl);
    assert_eq!(bad(&rows).line, 3);
    assert_eq!(rows.len(), 1);
}

#[test]
fn csv_values_may_hold_quotes_commas_and_line_breaks() {
    let text = "text,label\n\"one\ntwo, \"\"three\"\"\r\nfour\",a\n\nplain,b\n5\" screen,c";
    assert_eq!(
        good(text, Format::Csv),
        [
            (
                2,
                json!({"text": "one\ntwo, \"three\"\r\nfour", "label": "a"})
            ),
            (6, json!({"text": "plain", "label": "b"})),
            (7, json!({"text": "5\" screen", "label": "c"})),
        ]
    );
}

#[test]
fn a_row_of_empty_values_is_a_row() {
    let rows = good("text,label\r\n,\r\n", Format::Csv);
    assert_eq!(rows, [(2, json!({"text": "", "label": ""}))]);
}

#[test]
fn a_row_with_another_number_of_values_is_an_error() {
    let rows = read("text,label\na,b\na, b,c\nd\nd,e\n", Format::Csv);
    let errors: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(
        errors[0].to_string(),
        "line 3: the number of values is 3, the header has 2"
    );
    assert_eq!(errors[1].line, 4);
    assert_eq!(rows.len(), 4);
}

#[test]
fn a_quote_that_never_closes_is_an_error_instead_of_a_long_text() {
    for tail in ["", "\n"] {
        let rows = read(
            format!("label,text\na,one\nb,\"two\nc,three{tail}"),
            Format::Csv,
        );
        assert_eq!((bad(&rows).line, rows.len()), (3, 2), "{rows:?}");
    }
    assert_eq!(bad(&read("\"text\na\n", Format::Csv)).line, 1);
}

#[test]
fn a_bad_header_is_the_only_error_of_its_file() {
    let rows = read("text, text\na,b\n", Format::Csv);
    assert_eq!(
        bad(&rows).to_string(),
        "line 1: the header names `text` twice"
    );
    assert_eq!(rows.len(), 1);
    let rows = read(b"t\xffxt\na\nb\n", Format::Csv);
    assert_eq!((bad(&rows).line, rows.len()), (1, 1));
}

#[test]
fn tsv_keeps_single_quotation_marks() {
    let text = "text\tlabel\n\"Yes,\" he said\ta\n\"a \"\"b\"\" c\"\tb\nthe \"end\"\tc\n\"\t\"\n";
    assert_eq!(
        good(text, Format::Tsv),
        [
            (2, json!({"text": "\"Yes,\" he said", "label": "a"})),
            (3, json!({"text": "a \"b\" c", "label": "b"})),
            (4, json!({"text": "the \"end\"", "label": "c"})),
            (5, json!({"text": "\"", "label": "\""})),
        ]
    );
}

#[test]
fn a_file_without_rows_has_no_records() {
    for (text, format) in [
        ("", Format::Jsonl),
        ("\n \n", Format::Jsonl),
        ("[]", Format::Jsonl),
        ("", Format::Csv),
        ("text,label\n", Format::Csv),
        ("text\tlabel", Format::Tsv),
        ("", Format::Conll),
        ("-DOCSTART- -X- O O\n\n\n", Format::Conll),
    ] {
        assert!(read(text, format).is_empty(), "{text:?}");
    }
}

#[test]
fn conll_columns_become_sentences() {
    let text =
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER";
    assert_eq!(
        good(text, Format::Conll),
        [
            (
                3,
                json!({"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]})
            ),
            (7, json!({"tokens": ["Peter"], "tags": ["B-PER"]})),
        ]
    );
}

#[test]
fn conll_comments_are_skipped_before_a_sentence_only() {
    let text = "# id = 1\n# text = I want # O\n# O\nI O\n# O\n\n# newdoc\nyou B-x\n";
    assert_eq!(
        good(text, Format::Conll),
        [
            (
                3,
                json!({"tokens": ["#", "I", "#"], "tags": ["O", "O", "O"]})
            ),
            (8, json!({"tokens": ["you"], "tags": ["B-x"]})),
        ]
    );
}

#[test]
fn conll_tokens_may_hold_spaces_between_tabs() {
    let rows = good("New York\tB-city\n1 000 \tO\t\n", Format::Conll);
    assert_eq!(rows[0].1["tokens"], json!(["New York", "1 000 "]));
}

#[test]
fn a_conll_line_without_a_tag_fails_its_sentence_alone() {
    let rows = read("a O\nb\nc O\n\nd O\n\ne X O\nf O\n", Format::Conll);
    let errors: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(errors.len(), 2);
    assert_eq!(
        errors[0].to_string(),
        "line 2: the number of columns is 1, above it is 2"
    );
    assert_eq!(errors[1].line, 7);
    assert_eq!(rows.len(), 3);
    assert_eq!(
        read("a\nb\n", Format::Conll)[0]
            .as_ref()
            .unwrap_err()
            .message,
        "the line has one column"
    );
}

/// Fails after its text, as a disk or a network may.
struct Failing(Cursor<&'static [u8]>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("disk failure")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_file_that_stops_being_readable_ends_in_an_error() {
    let cases: [(&[u8], Format); 4] = [
        (b"{\"a\": 1}\n{\"a\": 2}\n", Format::Jsonl),
        (b"a\nx\ny\n", Format::Csv),
        (b"a\nx\ny\n", Format::Tsv),
        (b"a O\n\nb O\n\n", Format::Conll),
    ];
    for (text, format) in cases {
        let reader = BufReader::new(Failing(Cursor::new(text)));
        let rows: Vec<_> = Records::from_reader(reader, format).take(10).collect();
        assert_eq!(rows.len(), 3, "{format}");
        assert!(bad(&rows).message.contains("disk failure"));
        assert!(rows[2].is_err());
    }
}

#[test]
fn the_format_is_inferred_and_the_reason_told() {
    let infer = |name: &str, head: &str| {
        Format::infer(Path::new(name), head.as_bytes()).map(|guess| (guess.format, guess.reason))
    };
    let by_extension = |format, reason: &str| Some((format, reason.to_owned()));
    assert_eq!(
        infer("a.CSV", "{"),
        by_extension(Format::Csv, "extension `.CSV`")
    );
    assert_eq!(
        infer("a.json", ""),
        by_extension(Format::Jsonl, "extension `.json`")
    );
    assert_eq!(
        infer("a.iob", ""),
        by_extension(Format::Conll, "extension `.iob`")
    );
    for (head, format) in [
        ("\u{feff}\n {\"text\": 1}", Format::Jsonl),
        ("[\n{", Format::Jsonl),
        ("text\tlabel\nx\ty", Format::Tsv),
        ("text,label\nx,y", Format::Csv),
        ("-DOCSTART- -X- O\n", Format::Conll),
        ("EU NNP B-ORG\n", Format::Conll),
        ("the\tO\n", Format::Conll),
    ] {
        assert_eq!(infer("data.txt", head).unwrap().0, format, "{head:?}");
    }
    for prose in ["some prose", "First, some prose,\nthen more", ""] {
        assert_eq!(infer("data.txt", prose).unwrap().0, Format::Text);
        assert_eq!(infer("data", "some prose"), None);
    }
    assert_eq!(infer("data", ""), None);
}

#[test]
fn files_that_cannot_be_opened_or_told_are_errors_with_hints() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        Records::open(&path, None).map(|records| records.format())
    };
    let utf16 = open("a.jsonl", b"\xff\xfe{\0").unwrap_err();
    assert!(matches!(utf16, DataError::Utf16 { .. }));
    assert!(utf16.hint().unwrap().contains("iconv"));
    let unknown = open("a.text", b"prose").unwrap_err();
    assert!(unknown.hint().unwrap().contains("`.csv`"));
    assert_eq!(open("b.txt", b"a,b\n").unwrap(), Format::Csv);
    for path in [
        folder.path().join("missing.jsonl"),
        folder.path().to_owned(),
    ] {
        let Err(error) = Records::open(&path, None) else {
            panic!("`{}` opens", path.display());
        };
        assert!(matches!(error, DataError::Open { .. }));
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}
