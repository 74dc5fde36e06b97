//! What the store asks of a disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The acts that change a disk, as the store needs them.
///
/// There is one for users, [`FileSystem`]; tests put others in its place, on which each act fails in turn.
pub trait Disk: Send + Sync {
    /// Creates a folder in one that is there; an error if there is something of this name.
    fn create_dir(&self, folder: &Path) -> io::Result<()>;
    /// Creates a file, or empties the one that is there.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DurableFile>>;
    /// Gives a folder another name, which nothing has, on the same file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns when the names in a folder are on the disk.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it, or a file. A link goes, what it leads to stays.
    fn remove_all(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DurableFile: Write {
    /// Returns when the file's bytes are on the disk.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// The file system of the machine. New files and folders have the rights that the process's mask gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DurableFile>> {
        Ok(Box::new(File::create(file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere than on Unix a folder cannot be opened for that.
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(folder)?.sync_all() {
            // Some network file systems have no such act for folders.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    }
}

impl DurableFile for File {
    fn sync_all(&mut self) -> io::Result<()> {
        File::sync_all(self)
    }
}
