//! Tokenizers and folders of texts for the tests.

#![allow(dead_code, reason = "each test binary uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle_corpus::{Corpus, CorpusError, Documents, TokenStore};
use rekindle_data::{Renderer, TextTokenizer};
use tempfile::TempDir;

/// A folder of the fixtures that `rekindle-data` keeps of each kind of tokenizer.
pub(crate) fn fixture(kind: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .join("../../crates/rekindle-data/tests/fixtures")
        .join(kind)
}

/// The tokenizer of an encoder.
pub(crate) fn encoder(kind: &str) -> TextTokenizer {
    TextTokenizer::from_folder(&fixture(kind)).unwrap()
}

/// The tokenizer and renderer of a decoder; `config` is its `tokenizer_config.json`.
pub(crate) fn decoder(config: &str) -> (TextTokenizer, Renderer) {
    let folder = tempfile::tempdir().unwrap();
    let from = fixture("chat").join("tokenizer.json");
    fs::copy(from, folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    let renderer = Renderer::open(folder.path(), &tokenizer).unwrap();
    (tokenizer, renderer)
}

/// As GPT-2: no token before a text.
pub(crate) const PLAIN: &str = "{\"eos_token\": \"<|endoftext|>\"}";
/// As Llama: `<s>` before each text.
pub(crate) const WITH_BOS: &str =
    "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_bos_token\": true}";

/// A folder with these files in it, and one for the cache.
pub(crate) struct Texts {
    folder: TempDir,
}

impl Texts {
    /// Writes files; their names may have folders in them.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let texts = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, content) in files {
            texts.write(name, content);
        }
        texts
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The path of a file, or a pattern.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("texts").join(name)
    }

    /// The folder of the cache.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Opens files with the tokenizer of an encoder.
    pub(crate) fn open(
        &self,
        names: &[&str],
        documents: Documents,
    ) -> Result<TokenStore, CorpusError> {
        self.open_with(names, documents, &encoder("wordpiece"))
    }

    /// Opens files with a tokenizer.
    pub(crate) fn open_with(
        &self,
        names: &[&str],
        documents: Documents,
        tokenizer: &TextTokenizer,
    ) -> Result<TokenStore, CorpusError> {
        let paths: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        let corpus = Corpus {
            paths: &paths,
            documents,
            tokenizer,
            renderer: None,
        };
        corpus.open(&self.cache(), &mut ())
    }

    /// Opens a file for a decoder.
    pub(crate) fn open_decoder(&self, name: &str, config: &str) -> Arc<TokenStore> {
        let (tokenizer, renderer) = decoder(config);
        let corpus = Corpus {
            paths: &[self.path(name)],
            documents: Documents::Auto,
            tokenizer: &tokenizer,
            renderer: Some(&renderer),
        };
        Arc::new(corpus.open(&self.cache(), &mut ()).unwrap())
    }
}

/// The documents of a store as tokens.
pub(crate) fn documents(store: &TokenStore) -> Vec<Vec<u32>> {
    let documents = 0..store.documents();
    documents
        .map(|index| store.document(index).unwrap())
        .collect()
}

/// What texts become with a tokenizer, each as a whole.
pub(crate) fn tokens(tokenizer: &TextTokenizer, texts: &[&str]) -> Vec<Vec<u32>> {
    let tokens = tokenizer.texts(texts).into_iter();
    tokens.map(Result::unwrap).collect()
}
