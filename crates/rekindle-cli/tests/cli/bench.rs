//! `bench`: training steps of known shapes.

use insta::assert_snapshot;

use crate::place::Place;

/// As little as can be timed.
const LITTLE: [&str; 11] = [
    "bench",
    "--backend",
    "flex",
    "--shape",
    "encoder",
    "--rows",
    "1",
    "--tokens",
    "2",
    "--steps",
    "1",
];

#[test]
fn steps_are_timed_with_each_method_and_type() {
    let place = Place::new();
    let called = place
        .call(&[&LITTLE[..], &["--json"]].concat())
        .expect_code(0);
    let rows: Vec<serde_json::Value> = called
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names = |row: &serde_json::Value| {
        let name = |key: &str| row[key].as_str().unwrap().to_owned();
        [name("method"), name("dtype")]
    };
    let found: Vec<_> = rows.iter().map(names).collect();
    let expected = [
        ["full", "f32"],
        ["full", "bf16"],
        ["lora", "f32"],
        ["lora", "bf16"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        for key in ["seconds", "first_seconds", "flops_per_second"] {
            assert!(number(key) > 0.0, "{row}");
        }
        assert!((number("tokens_per_second") * number("seconds") - 2.0).abs() < 1e-6);
    }
}

#[test]
fn a_table_has_a_line_for_each() {
    let place = Place::new();
    let full = ["--method", "full", "--dtype", "f32"];
    let called = place.call(&[&LITTLE[..], &full].concat()).expect_code(0);
    let lines: Vec<_> = called.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", called.out);
    assert!(lines[0].starts_with("training steps on flex (processor, "));
    assert!(lines[2].starts_with("encoder, full, f32 "), "{}", lines[2]);
    // No column is wider than its head.
    assert_eq!(lines[1].len(), lines[2].len());
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let place = Place::new();
    let refused = |arguments: &[&str]| place.call(arguments).expect_code(2).err;
    assert_snapshot!(refused(&["bench", "--shape", "decoder", "--tokens", "1"]), @"
    error: invalid value '1' for '--tokens <N>': a number from 2 on

    For more information, try '--help'.
    ");
    assert_snapshot!(refused(&["bench", "--shape", "huge"]), @"
    error: invalid value 'huge' for '--shape <NAME>'
      [possible values: encoder, decoder]

    For more information, try '--help'.
    ");
}
