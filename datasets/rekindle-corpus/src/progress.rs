//! Who hears how far the tokenizing is.

/// Hears how texts are tokenized; `()` ignores it. Nothing is heard where the tokens are on disk already.
pub trait Progress {
    /// Another process tokenizes the same texts, and its result is waited for.
    fn wait(&mut self) {}
    /// Tokenizing files of this size in all begins.
    fn start(&mut self, bytes: u64);
    /// More bytes of the files are done.
    fn advance(&mut self, bytes: u64);
    /// It has ended, well or not.
    fn finish(&mut self);
}

impl Progress for () {
    fn start(&mut self, _bytes: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}
