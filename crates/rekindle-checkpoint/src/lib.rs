//! Checkpoints that appear whole or not at all, and the lock of a run folder.
//!
//! A [`Store`] is a folder of checkpoints, `step-000120` and so on. [`Store::save`] is given named [`Content`]s,
//! closures that write bytes, and [`Store::newest`] finds the newest checkpoint that is still what was saved.
//! What the bytes mean is the caller's affair. A [`RunLock`] is the right of one process to write.
//!
//! ```
//! use rekindle_checkpoint::{Content, RunLock, Store};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let run = folder.path();
//! let _lock = RunLock::acquire(run)?;
//! let store = Store::new(run.join("checkpoints"));
//! store.sweep()?;
//! store.save(120, vec![Content::new("weights.bin", |out| out.write_all(&[1, 2, 3]))])?;
//! store.prune(120, 2, &[])?;
//!
//! let newest = store.newest()?;
//! assert!(newest.damaged.is_empty());
//! let checkpoint = newest.checkpoint.ok_or("nothing saved yet")?;
//! assert_eq!(checkpoint.step(), 120);
//! let weights = checkpoint.file("weights.bin").ok_or("no weights")?;
//! assert_eq!(std::fs::read(weights)?, [1, 2, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! # How a checkpoint comes to be
//!
//! 1. Its files are written into a hidden folder beside its place, `.step-000120.partial`, and each is synced.
//! 2. `manifest.json` comes last: the step, and the name, size and SHA-256 of every file. The folder is synced.
//! 3. An older checkpoint of the same step is renamed to `.step-000120.replaced`.
//! 4. The hidden folder is renamed to `step-000120`, and the store's folder is synced.
//! 5. The replaced one is removed.
//!
//! Whenever the process is killed or the power fails, the older checkpoints are there, and of a step that is
//! saved again the old one or the new one is there in full: [`Store::newest`] and [`Store::open`] look at a
//! replaced one too. [`Store::sweep`] cleans up afterwards. A save that fails takes back what it did; if it failed
//! at the last sync, the new checkpoint is in its place all the same, for it may or may not be on the disk.
//!
//! # What is trusted
//!
//! A checkpoint is opened only if its manifest can be read and names its step, and every file in it has its size and
//! hash. Files that the manifest does not name are ignored. Nothing is removed but checkpoints with a manifest,
//! the store's own hidden folders, and what stands in the place of a step that is saved.
//!
//! Sync means `fsync`. A disk or a network file system that confirms it too early can still lose the newest
//! checkpoint; it is then found to be damaged, and the one before is used.
//!
//! # What it costs
//!
//! Contents are streamed: the store holds one mebibyte of them. Hashing goes at about 1.2 GB/s on a core with SHA
//! instructions, once when saving and once when opening; [`Saved`] tells the time that it took.

mod content;
mod damage;
mod disk;
mod error;
mod lock;
mod manifest;
mod names;
mod staging;
mod store;

pub use content::Content;
pub use damage::Damage;
pub use disk::{Disk, DurableFile, FileSystem};
pub use error::{CleanUpError, ListError, SaveError};
pub use lock::{LockError, RunLock};
pub use store::{Checkpoint, Damaged, Newest, Saved, Store};
