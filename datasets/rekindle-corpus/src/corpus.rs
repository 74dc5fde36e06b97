//! Which texts are read and how, and the way from them to tokens.

use std::fmt;
use std::path::{Path, PathBuf};

use rekindle_data::{Renderer, TextTokenizer};

use crate::cache::Place;
use crate::encoding::Encoding;
use crate::error::CorpusError;
use crate::files;
use crate::manifest;
use crate::progress::Progress;
use crate::source::Source;
use crate::store::TokenStore;
use crate::writer;
use rekindle_data::Documents;

/// Texts, and what makes tokens of them.
#[derive(Clone, Copy)]
pub struct Corpus<'a> {
    /// Files, folders or patterns such as `texts/**/*.txt`. Of a folder and all folders in it, each `.txt`,
    /// `.jsonl` and `.ndjson` is read in the order of their paths; hidden ones are not.
    pub paths: &'a [PathBuf],
    /// What a document of a plain text is.
    pub documents: Documents,
    /// The model's tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The renderer of a decoder; an encoder has none.
    pub renderer: Option<&'a Renderer>,
}

impl Corpus<'_> {
    /// Finds the documents tokenized in the folder `cache`, or tokenizes them and leaves them there.
    ///
    /// Rows that cannot be used are an error of their file, before any is tokenized.
    pub fn open(
        &self,
        cache: &Path,
        progress: &mut dyn Progress,
    ) -> Result<TokenStore, CorpusError> {
        let files = files::find(self.paths)?.into_iter();
        let sources = files.map(|path| Source::survey(path, self.documents));
        let sources: Vec<Source> = sources.collect::<Result<_, _>>()?;
        let encoding = Encoding {
            tokenizer: self.tokenizer,
            renderer: self.renderer,
        };
        let frame = encoding.frame()?;
        let key = manifest::key(encoding, &sources);
        let place = Place::new(cache, key.clone());
        let (stored, is_cached) = if let Some(stored) = place.open() {
            (stored, true)
        } else {
            sources.iter().try_for_each(Source::check)?;
            let (stored, is_written) = place.fill(progress, |folder, progress| {
                writer::write(folder, &key, encoding, &sources, progress)
            })?;
            (stored, !is_written)
        };
        if stored.manifest.documents == 0 {
            let paths = sources.into_iter().map(|source| source.path).collect();
            return Err(CorpusError::Empty { paths });
        }
        Ok(TokenStore {
            stored,
            sources,
            frame,
            is_cached,
        })
    }
}

impl fmt::Debug for Corpus<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Corpus")
            .field("paths", &self.paths)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}
