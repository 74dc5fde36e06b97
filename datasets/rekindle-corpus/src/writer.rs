//! From the files to the tokens on disk, some megabytes at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::encoding::Encoding;
use crate::error::CorpusError;
use crate::hashing::{HashingFile, Tally};
use crate::manifest::{
    self, Counted, DOCUMENTS, MANIFEST, Manifest, TOKENS, VERSION, crate_version,
};
use crate::pieces::Piece;
use crate::progress::Progress;
use crate::source::Source;

/// So many bytes of text are tokenized at once, on all cores; with more cores it does not take more memory.
const BATCH: usize = 1 << 20;
/// So many pieces at most: short ones cost more than their bytes.
const MOST: usize = 1 << 14;

/// Writes all that a folder of tokens holds, and returns when it is on the disk.
pub(crate) fn write(
    folder: &Path,
    key: &str,
    encoding: Encoding,
    sources: &[Source],
    progress: &mut dyn Progress,
) -> Result<(), CorpusError> {
    let mut out = Output {
        encoding,
        width: manifest::width(encoding.tokenizer.highest_id()),
        tokens: Sink::create(folder.join(TOKENS))?,
        documents: Sink::create(folder.join(DOCUMENTS))?,
        ends: Ends::default(),
    };
    progress.start(sources.iter().map(|source| source.bytes).sum());
    let counted: Result<Vec<_>, _> = sources
        .iter()
        .map(|source| out.source(source, progress))
        .collect();
    progress.finish();
    let sources = counted?;
    let manifest = Manifest {
        version: VERSION,
        rekindle: crate_version().to_owned(),
        key: key.to_owned(),
        width: out.width,
        tokens: out.ends.tokens,
        documents: out.ends.documents,
        tokens_sha256: out.tokens.finish()?.digest(),
        documents_sha256: out.documents.finish()?.digest(),
        sources,
    };
    let mut file = Sink::create(folder.join(MANIFEST))?;
    let json = serde_json::to_vec_pretty(&manifest);
    file.write(&json.map_err(|error| CorpusError::cache("write", &file.path)(error.into()))?)?;
    file.finish()?;
    Ok(())
}

/// The files that are written.
struct Output<'t> {
    encoding: Encoding<'t>,
    width: usize,
    tokens: Sink,
    documents: Sink,
    ends: Ends,
}

/// Where documents end.
#[derive(Default)]
struct Ends {
    tokens: u64,
    documents: u64,
    /// Where the last document ended.
    last: u64,
}

impl Output<'_> {
    /// Tokenizes one file.
    fn source(
        &mut self,
        source: &Source,
        progress: &mut dyn Progress,
    ) -> Result<Counted, CorpusError> {
        let before = (self.ends.documents, self.ends.tokens);
        let (mut pieces, tally) = source.pieces()?;
        let mut seen = 0;
        loop {
            let batch = batch(&mut pieces, source)?;
            self.batch(&batch, source)?;
            let bytes = tally.borrow().bytes;
            progress.advance(bytes - seen);
            seen = bytes;
            if batch.is_empty() {
                break;
            }
        }
        if tally.borrow().digest() != source.sha256 {
            let path = source.path.clone();
            return Err(CorpusError::Changed { path });
        }
        Ok(Counted {
            path: source.path.clone(),
            bytes: source.bytes,
            sha256: source.sha256.clone(),
            documents_are: source.kind,
            documents: self.ends.documents - before.0,
            tokens: self.ends.tokens - before.1,
        })
    }

    fn batch(&mut self, pieces: &[Piece], source: &Source) -> Result<(), CorpusError> {
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        for (piece, ids) in pieces.iter().zip(self.encoding.texts(&texts)) {
            let ids = ids.map_err(|error| CorpusError::Text {
                path: source.path.clone(),
                line: piece.line,
                source: error,
            })?;
            self.tokens.write(&manifest::to_bytes(&ids, self.width))?;
            self.ends.tokens += ids.len() as u64;
            // Of some texts a tokenizer leaves nothing.
            if piece.is_last && self.ends.tokens > self.ends.last {
                self.ends.last = self.ends.tokens;
                self.ends.documents += 1;
                self.documents.write(&self.ends.last.to_le_bytes())?;
            }
        }
        Ok(())
    }
}

/// The next pieces to be tokenized together; none at the end of the file.
fn batch(
    pieces: &mut impl Iterator<Item = Result<Piece, rekindle_data::RowError>>,
    source: &Source,
) -> Result<Vec<Piece>, CorpusError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH && batch.len() < MOST {
        let Some(piece) = pieces.next() else { break };
        let piece = piece.map_err(|error| source.bad_row(error))?;
        bytes += piece.text.len();
        batch.push(piece);
    }
    Ok(batch)
}

/// A file that is being written.
struct Sink {
    path: PathBuf,
    out: BufWriter<HashingFile>,
}

impl Sink {
    fn create(path: PathBuf) -> Result<Self, CorpusError> {
        let file = File::create(&path).map_err(CorpusError::cache("create", &path))?;
        let tally = Tally::default();
        let out = BufWriter::with_capacity(1 << 18, HashingFile { file, tally });
        Ok(Self { path, out })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        let written = self.out.write_all(bytes);
        written.map_err(CorpusError::cache("write", &self.path))
    }

    /// What was written, when it is on the disk.
    fn finish(mut self) -> Result<Tally, CorpusError> {
        let failed = |source| CorpusError::cache("write", &self.path)(source);
        self.out.flush().map_err(failed)?;
        let file = self.out.get_ref();
        file.file.sync_all().map_err(failed)?;
        Ok(file.tally.clone())
    }
}
