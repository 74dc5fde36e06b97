//! What makes tokens of texts: the tokenizer of an encoder, or the renderer of a decoder.

use rekindle_data::{Renderer, TextTokenizer};

use crate::error::{CorpusError, TextError};

/// The special tokens around a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: Vec<u32>,
    pub(crate) after: Vec<u32>,
}

/// How the texts of a model become tokens.
#[derive(Clone, Copy)]
pub(crate) struct Encoding<'t> {
    pub(crate) tokenizer: &'t TextTokenizer,
    pub(crate) renderer: Option<&'t Renderer>,
}

impl Encoding<'_> {
    /// Tokens of texts without special ones, on all cores.
    pub(crate) fn texts(self, texts: &[&str]) -> Vec<Result<Vec<u32>, TextError>> {
        fn owned<E: Into<TextError>>(
            results: Vec<Result<Vec<u32>, E>>,
        ) -> Vec<Result<Vec<u32>, TextError>> {
            let results = results.into_iter();
            results.map(|result| result.map_err(Into::into)).collect()
        }
        match self.renderer {
            Some(renderer) => owned(renderer.texts(texts)),
            None => owned(self.tokenizer.texts(texts)),
        }
    }

    pub(crate) fn frame(self) -> Result<Frame, CorpusError> {
        if let Some(renderer) = self.renderer {
            let (before, after) = renderer.frame();
            return Ok(Frame {
                before: before.to_vec(),
                after: vec![after],
            });
        }
        let [before, after] = self.tokenizer.frame()?;
        Ok(Frame { before, after })
    }

    /// What decides the tokens of a text.
    pub(crate) fn key(self) -> String {
        match self.renderer {
            Some(renderer) => format!("renderer {}", renderer.digest()),
            None => format!("tokenizer {}", self.tokenizer.digest()),
        }
    }
}
