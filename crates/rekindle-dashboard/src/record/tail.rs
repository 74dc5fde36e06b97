//! What is appended to a log, from a place in it that a reader remembers.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// As many bytes before a place tell whether the file is still the one that was read.
const PRINT_BYTES: u64 = 256;

/// A place in a log, after a whole line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    offset: u64,
    /// Hash of what stands before the place.
    print: u64,
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.offset, self.print)
    }
}

/// A text that is no place in a log.
#[derive(Debug)]
pub(crate) struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (offset, print) = text.split_once('-').ok_or(NotACursor)?;
        Ok(Self {
            offset: offset.parse().map_err(|_| NotACursor)?,
            print: u64::from_str_radix(print, 16).map_err(|_| NotACursor)?,
        })
    }
}

/// What happened to a log since it was looked at.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// Whole lines came, each with its line feed.
    Lines(Vec<u8>),
    /// What was read is no longer there: the reader starts at the beginning.
    Reset,
}

/// A reader of a log that grows.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    cursor: Cursor,
}

impl Tail {
    pub(crate) fn new(path: &Path) -> Self {
        Self::at(path, Cursor::default())
    }

    pub(crate) fn at(path: &Path, cursor: Cursor) -> Self {
        Self {
            path: path.to_owned(),
            cursor,
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Looks for whole lines after the cursor, and moves it behind them.
    pub(crate) fn poll(&mut self) -> io::Result<Change> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.reset()),
            Err(error) => return Err(error),
        };
        if !self.is_same(&mut file)? {
            return Ok(self.reset());
        }
        let mut lines = Vec::new();
        file.read_to_end(&mut lines)?;
        let Some(end) = lines.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Change::None);
        };
        lines.truncate(end + 1);
        self.cursor.offset += lines.len() as u64;
        self.cursor.print = print(&mut file, self.cursor.offset)?;
        Ok(Change::Lines(lines))
    }

    fn reset(&mut self) -> Change {
        if self.cursor == Cursor::default() {
            return Change::None;
        }
        self.cursor = Cursor::default();
        Change::Reset
    }

    /// Whether what was read still stands there; leaves the file at the cursor.
    fn is_same(&self, file: &mut File) -> io::Result<bool> {
        let Cursor {
            offset,
            print: known,
        } = self.cursor;
        Ok(offset == 0 || file.metadata()?.len() >= offset && print(file, offset)? == known)
    }
}

/// Hash of the bytes before a place, where it leaves the file.
fn print(file: &mut File, offset: u64) -> io::Result<u64> {
    let length = offset.min(PRINT_BYTES);
    file.seek(SeekFrom::Start(offset - length))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_come_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.poll().unwrap(), Change::None);
        std::fs::write(&path, "one\ntwo\nth").unwrap();
        assert_eq!(tail.poll().unwrap(), Change::Lines(b"one\ntwo\n".into()));
        assert_eq!(tail.poll().unwrap(), Change::None);
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail.poll().unwrap(), Change::Lines(b"three\n".into()));
    }

    #[test]
    fn a_cut_log_is_noticed_even_when_it_has_grown_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let mut tail = Tail::new(&path);
        tail.poll().unwrap();
        std::fs::write(&path, "one\nTWO and more\n").unwrap();
        assert_eq!(tail.poll().unwrap(), Change::Reset);
        assert_eq!(
            tail.poll().unwrap(),
            Change::Lines(b"one\nTWO and more\n".into())
        );
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(tail.poll().unwrap(), Change::Reset);
    }

    #[test]
    fn a_cursor_survives_as_text() {
        let cursor = Cursor {
            offset: 12,
            print: u64::MAX,
        };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        assert!("12".parse::<Cursor>().is_err());
        assert!("-".parse::<Cursor>().is_err());
    }
}
