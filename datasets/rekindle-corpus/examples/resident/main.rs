//! What memory it takes to tokenize a text of any size and to read all its blocks.
//!
//!     cargo run --release -p rekindle-corpus --example resident -- MODEL-FOLDER MEGABYTES [MOST]
//!
//! The text is generated. With MOST, more megabytes than that above those at the start are a failure.

#![expect(clippy::print_stdout, reason = "it is a program")]

mod measure;

use std::env;
use std::error::Error;
use std::path::Path;

use measure::{MEGABYTE, Measured};
use rekindle_corpus::Documents;
use rekindle_data::TextTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, megabytes, most @ ..] = arguments.as_slice() else {
        return Err("give the folder of a tokenizer and a number of megabytes".into());
    };
    let tokenizer = TextTokenizer::from_folder(Path::new(folder))?;
    let (megabytes, most): (usize, Option<&String>) = (megabytes.parse()?, most.first());
    let most = most.map(|most| most.parse()).transpose()?;
    for documents in [Documents::Line, Documents::File] {
        let Measured {
            tokens,
            rows,
            before,
            peak,
            seconds,
        } = measure::build(megabytes, documents, &tokenizer)?;
        let above = peak.saturating_sub(before) / MEGABYTE;
        println!(
            "{megabytes} MB, documents {documents}: {tokens} tokens, {rows} rows, {seconds:.1} s, \
             {} MB resident, {above} MB above the start",
            peak / MEGABYTE,
        );
        if most.is_some_and(|most: usize| above > most) {
            return Err("that is more than allowed".into());
        }
    }
    Ok(())
}
