//! The pages in a real browser: curves are drawn, nothing is told on the console, a live page moves.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::support::browser::Browser;
use crate::support::run_folder::{HOSTILE, append, short_run, step};
use crate::support::running_server::RunningServer;
use rekindle_dashboard::server::Target;
use rekindle_dashboard::{RunRecord, compare, report};
use serde_json::json;
use tempfile::TempDir;

/// Number of points of the path of a series in the chart of the loss.
const POINTS: &str = "(document.querySelector('[data-chart=loss] .series path')?.getAttribute('d').match(/[ML]/g) ?? []).length";

/// A browser, or none after saying so; where strictness is asked for, its absence fails the test.
fn start() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        let is_strict = std::env::var("REKINDLE_TEST_STRICT").is_ok_and(|value| value == "1");
        assert!(
            !is_strict,
            "no Chromium, and REKINDLE_TEST_STRICT=1 asks for one"
        );
        // Past the test harness, which hides what a passing test prints.
        let told = b"SKIPPED: no Chromium is installed, the pages were not opened in a browser\n";
        std::io::stderr().write_all(told).unwrap();
    }
    browser
}

fn write(folder: &Path, page: &str) -> String {
    let path = folder.join("page.html");
    fs::write(&path, page).unwrap();
    format!("file://{}", path.display())
}

#[test]
fn a_finished_report_is_drawn_without_an_error() {
    let Some(mut browser) = start() else { return };
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run(HOSTILE[0], &HOSTILE));
    append(
        folder.path(),
        &[json!({"event": "warning", "message": HOSTILE[1]})],
    );
    let record = RunRecord::read(folder.path(), false).unwrap();
    let url = write(folder.path(), &report::render(&record));
    for (width, scheme) in [(1280, "light"), (375, "dark")] {
        browser.open(&url, width, scheme);
        browser.wait("document.querySelectorAll('figure svg').length === 7");
        assert_eq!(browser.value(POINTS), 4);
        assert_eq!(
            browser.value("document.querySelectorAll('.matrix tbody tr').length"),
            6
        );
        assert_eq!(
            browser.value("document.querySelector('h1').textContent"),
            HOSTILE[0]
        );
        assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
        let overflow = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.value(overflow), true, "at {width} pixels");
    }
    assert_eq!(browser.errors, Vec::<String>::new());
}

#[test]
fn the_reader_can_ask_for_values_and_scales() {
    let Some(mut browser) = start() else { return };
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run("a", &["x"]));
    let record = RunRecord::read(folder.path(), false).unwrap();
    let url = write(folder.path(), &compare::render(&[record.clone(), record]));
    browser.open(&url, 1280, "light");
    let chart = "document.querySelector('[data-chart=train]')";
    browser.wait(&format!(
        "{chart}.querySelectorAll('.series path').length === 2"
    ));
    browser.value("document.querySelector('[data-axis=epoch]').click()");
    let key = format!(
        "{chart}.querySelector('svg').dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowRight' }}))"
    );
    browser.value(&key);
    let readout = browser.value(&format!("{chart}.querySelector('.readout').textContent"));
    assert_eq!(readout, "epoch 0.5a2.0000a2.0000");
    let path = format!("{chart}.querySelector('.series path').getAttribute('d')");
    let linear = browser.value(&path);
    browser.value(&format!("{chart}.querySelector('button').click()"));
    assert_ne!(browser.value(&path), linear);
    assert_eq!(browser.errors, Vec::<String>::new());
}

#[test]
fn a_live_page_moves_with_its_log() {
    let Some(mut browser) = start() else { return };
    let folder = TempDir::new().unwrap();
    append(folder.path(), &short_run("run", &["a", "b"]));
    let target = Target::Run(folder.path().to_owned());
    let server = RunningServer::start(target, |_| true);
    browser.open(&format!("http://{}/", server.address), 1280, "light");
    browser.wait("document.querySelector('.live').textContent === 'live'");
    assert_eq!(browser.value(POINTS), 4);
    append(folder.path(), &[step(5), step(6)]);
    browser.wait(&format!("{POINTS} === 6"));
    let mut more = short_run("run", &["a", "b"]);
    more.retain(|event| event["step"] == 4 && event["event"] != "step");
    for event in &mut more {
        event["step"] = json!(6);
    }
    append(folder.path(), &more);
    browser.wait("document.querySelectorAll('#epochs + .scroll tbody tr').length === 3");
    append(
        folder.path(),
        &[json!({"event": "finish", "steps": 6, "end": "completed"})],
    );
    browser.wait("document.querySelector('.state').textContent === 'finished'");
    assert_eq!(browser.value(POINTS), 6);
    fs::write(folder.path().join("events.jsonl"), format!("{}\n", step(1))).unwrap();
    append(folder.path(), &[step(2)]);
    browser.wait(&format!(
        "document.querySelector('.state').textContent === 'running' && {POINTS} === 2"
    ));
    assert_eq!(browser.errors, Vec::<String>::new());
}
