//! Memory while a file is tokenized and read. It has a process of its own, so that nothing else is counted.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "../examples/resident/measure.rs"]
mod measure;
mod setup;

use measure::{MEGABYTE, build};
use rekindle_corpus::Documents;
use setup::encoder;

/// What tokenizing may take beside what was there before, whatever the size of the file.
const MOST: usize = 200 * MEGABYTE;

#[test]
fn memory_does_not_grow_with_the_file() {
    let tokenizer = encoder("wordpiece");
    for (documents, size) in [(Documents::Line, 20), (Documents::File, 8)] {
        let measured = build(size, documents, &tokenizer).unwrap();
        assert!(
            measured.tokens > size as u64 * 200_000,
            "{}",
            measured.tokens
        );
        assert!(measured.rows as u64 > measured.tokens / 128);
        let above = measured.peak.saturating_sub(measured.before);
        let text = format!(
            "{documents}: {} MB in {} s",
            above / MEGABYTE,
            measured.seconds
        );
        assert!(measured.before > 0 && above < MOST, "{text}");
    }
}
