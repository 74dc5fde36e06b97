//! Progress as a test sees it.

use rekindle_hub::Progress;

#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Vec<Line>);

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) file: String,
    pub(crate) bytes: u64,
    /// All bytes, and those of them that were there before.
    pub(crate) arrived: u64,
    pub(crate) resumed: u64,
    pub(crate) is_finished: bool,
}

impl Progress for Recorder {
    fn start(&mut self, file: &str, bytes: u64) {
        self.0.push(Line {
            file: file.to_owned(),
            bytes,
            arrived: 0,
            resumed: 0,
            is_finished: false,
        });
    }

    fn resume(&mut self, bytes: u64) {
        self.0.last_mut().unwrap().resumed += bytes;
        self.advance(bytes);
    }

    fn advance(&mut self, bytes: u64) {
        self.0.last_mut().unwrap().arrived += bytes;
    }

    fn finish(&mut self) {
        self.0.last_mut().unwrap().is_finished = true;
    }
}
