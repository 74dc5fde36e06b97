//! A writer that keeps what the disk does not take, and tries again.

use std::io::{self, ErrorKind, Write};

/// Takes everything; what cannot be written now is written before what comes later.
///
/// Where nobody reads any more, all is dropped.
#[derive(Debug)]
pub(crate) struct Backlog<W> {
    writer: W,
    waiting: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> Backlog<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            waiting: Vec::new(),
            error: None,
        }
    }

    /// Why something waits.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.writer.write(&self.waiting) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }
}

impl<W: Write> Write for Backlog<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_deserted = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
        if !self.error.as_ref().is_some_and(is_deserted) {
            self.waiting.extend_from_slice(bytes);
            self.error = self.write_waiting().err();
        }
        if self.error.as_ref().is_some_and(is_deserted) {
            self.waiting = Vec::new();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write(&[]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A disk with room for so many bytes.
    struct Disk<'a> {
        room: &'a Cell<usize>,
        written: &'a RefCell<Vec<u8>>,
    }

    impl Write for Disk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room.get());
            if taken < bytes.len() && taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room.set(self.room.get() - taken);
            self.written.borrow_mut().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_lost_on_a_disk_that_was_full() {
        let (room, written) = (Cell::new(5), RefCell::new(Vec::new()));
        let disk = Disk {
            room: &room,
            written: &written,
        };
        let mut backlog = Backlog::new(disk);
        for line in ["one\n", "two\n", "three\n"] {
            backlog.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(*written.borrow(), b"one\nt");
        let failure = backlog.failure().expect("the disk is full");
        assert_eq!(failure.kind(), ErrorKind::StorageFull);
        room.set(100);
        backlog.write_all(b"four\n").unwrap();
        assert_eq!(*written.borrow(), b"one\ntwo\nthree\nfour\n");
        assert!(backlog.failure().is_none());
    }

    #[test]
    fn nothing_is_kept_for_a_reader_that_went_away() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut backlog = Backlog::new(Closed);
        for _ in 0..3 {
            backlog.write_all(b"line\n").unwrap();
        }
        assert!(backlog.waiting.is_empty());
        assert_eq!(backlog.failure().unwrap().kind(), ErrorKind::BrokenPipe);
    }
}
