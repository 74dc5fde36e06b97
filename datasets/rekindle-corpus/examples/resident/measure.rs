//! Tokenizes a generated text while another thread looks at the memory of the process.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memory_stats::memory_stats;
use rekindle_corpus::{Corpus, Documents, TextRows};
use rekindle_data::{Purpose, Seeded, TextTokenizer};

pub(crate) const MEGABYTE: usize = 1_000_000;

const WORDS: [&str; 12] = [
    "the",
    "film",
    "a",
    "room",
    "quietly",
    "of",
    "it",
    "was",
    "slow",
    "and",
    "wonderful",
    "東京",
];

/// What it took.
pub(crate) struct Measured {
    pub(crate) tokens: u64,
    pub(crate) rows: usize,
    /// Resident bytes of the process before.
    pub(crate) before: usize,
    /// The most resident bytes that were seen.
    pub(crate) peak: usize,
    pub(crate) seconds: f64,
}

/// Writes a text of this size, tokenizes it and reads all its blocks.
pub(crate) fn build(
    megabytes: usize,
    documents: Documents,
    tokenizer: &TextTokenizer,
) -> Result<Measured, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("generated.txt");
    generate(&path, megabytes * MEGABYTE)?;
    let (before, started) = (resident(), Instant::now());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&is_over));
        let corpus = Corpus {
            paths: std::slice::from_ref(&path),
            documents,
            tokenizer,
            renderer: None,
        };
        let read = corpus
            .open(&folder.path().join("cache"), &mut ())
            .and_then(|store| {
                let rows = TextRows::masked_blocks(&Arc::new(store), 128)?;
                for index in 0..rows.len() {
                    rows.ids(index)?;
                }
                Ok(rows)
            });
        is_over.store(true, Ordering::Relaxed);
        let peak = watch.join().map_err(|_| "the watch failed")?;
        let rows = read?;
        Ok(Measured {
            tokens: rows.store().tokens(),
            rows: rows.len(),
            before,
            peak,
            seconds: started.elapsed().as_secs_f64(),
        })
    })
}

/// Writes lines of random words.
fn generate(path: &Path, bytes: usize) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut random = Seeded::new(1, Purpose::Order, 0);
    let mut written = 0;
    while written < bytes {
        let words = (0..5 + random.below(25)).map(|_| WORDS[random.below(WORDS.len())]);
        let line = words.collect::<Vec<_>>().join(" ") + ".\n";
        out.write_all(line.as_bytes())?;
        written += line.len();
    }
    out.flush()
}

fn watch(is_over: &AtomicBool) -> usize {
    let mut peak = resident();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
        peak = peak.max(resident());
    }
    peak
}

fn resident() -> usize {
    memory_stats().map_or(0, |stats| stats.physical_mem)
}
