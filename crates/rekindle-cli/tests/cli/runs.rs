//! The commands that read what runs recorded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::place::{Place, spawn};

fn two_runs() -> Place {
    let place = Place::with_reviews();
    let always = [
        "--model",
        "base",
        "--data",
        "train.jsonl",
        "--max-steps",
        "3",
    ];
    place.train_into("runs/first", &always);
    place.train_into(
        "runs/second",
        &[&always[..], &["--learning-rate", "1e-3"]].concat(),
    );
    place
}

#[test]
fn runs_are_listed_told_and_compared() {
    let place = two_runs();
    let listed = place.call(&["runs"]).expect_code(0).out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for word in ["first", "second", "finished", "accuracy", "classify"] {
        assert!(listed.contains(word), "`{word}` in {listed}");
    }
    let told = place
        .call(&["runs", "show", "runs/first"])
        .expect_code(0)
        .out;
    assert!(told.contains("finished after 3 steps"), "{told}");
    let compared = place
        .call(&["runs", "compare", "runs/first", "runs/second"])
        .expect_code(0)
        .out;
    assert!(compared.contains("learning_rate"), "{compared}");
    let page = place.read("compare.html");
    assert!(page.contains("first") && page.contains("second"));
    assert!(!page.contains("src=\"http"), "the page needs no network");
    assert!(place.read("runs/first/report.html").contains("<table"));
}

#[test]
fn a_folder_without_runs_is_told() {
    let place = Place::new();
    let called = place.call(&["runs"]).expect_code(0);
    assert_eq!(called.out, "");
    assert_eq!(called.err, "no runs in `runs`\n");
    let refusal = place.refusal(&["runs", "show", "nowhere"]);
    assert!(refusal.contains("nowhere"), "{refusal}");
}

#[test]
fn the_dashboard_serves_a_run_on_this_machine_alone() {
    let place = two_runs();
    let mut child = spawn(&place, &["dashboard", "runs/first"]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let address = first
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{first}");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("first"));
}
