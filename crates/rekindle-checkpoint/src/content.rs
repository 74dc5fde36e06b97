//! What a checkpoint is made of: names, and closures that write bytes.

use std::error::Error;
use std::io::Write;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

type Writing<'a> = Box<dyn FnOnce(&mut dyn Write) -> Result<(), BoxError> + 'a>;

/// One file of a checkpoint on its way to the disk: streamed, never held whole.
pub struct Content<'a> {
    pub(crate) name: String,
    pub(crate) write: Writing<'a>,
}

impl<'a> Content<'a> {
    /// A file of this name, with what `write` writes when it is the file's turn.
    ///
    /// The name is letters, digits, `.`, `_` and `-`, beginning with a letter or a digit, and not `manifest.json`:
    /// with another one [`Store::save`](crate::Store::save) refuses to begin. Writes are buffered.
    pub fn new<E: Into<BoxError>>(
        name: impl Into<String>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            write: Box::new(|out| write(out).map_err(Into::into)),
        }
    }
}
