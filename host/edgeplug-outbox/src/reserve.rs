//! Disk room kept back for one store, so that a full disk does not become a trap.
//!
//! On a full disk the log cannot grow, so no removal can be committed; and the log cannot be moved into the file while
//! the file cannot grow. A store that filled the disk by itself would never get out. So each store holds a file of
//! allocated, unused blocks: given up when the disk is full, taken again before the store counts as healed.

use std::{fs, io, path::PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::directory::private_file;

pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Takes the room, unless it is held already.
    pub(crate) fn hold(&self) -> io::Result<()> {
        let file = private_file(&self.path)?;
        let held = fallocate(&file, FallocateFlags::empty(), 0, self.bytes);
        match held.map_err(io::Error::from) {
            Ok(()) => Ok(()),
            // Nothing can be kept back on this file system: better without than not at all.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => {
                // What was taken of it would only be missing elsewhere.
                self.release();
                Err(error)
            }
        }
    }

    pub(crate) fn release(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot free the room kept back for a full disk");
        }
    }
}
