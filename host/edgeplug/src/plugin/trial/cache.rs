//! Where trials keep compiled plugins, so that the second try of a large one starts at once.
//!
//! A cache belongs to one process at a time (it sweeps what it finds half written), so there are a few, and each trial
//! takes the first that is free. Deliberately absent: a cache in a directory that others can write to.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Trials at the same time, of one user.
const CACHES_MAX: usize = 16;

/// A directory of our own until it is dropped.
#[derive(Debug)]
pub(super) struct CacheDirectory {
    pub(super) path: PathBuf,
    /// Released with the file.
    _lock: File,
}

impl CacheDirectory {
    /// The user's cache directory, as the XDG Base Directory Specification has it.
    pub(super) fn of_this_user() -> io::Result<Self> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        let home = home.ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME names a directory"))?;
        Self::below(&home.join("edgeplug"))
    }

    fn below(home: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        for number in 0..CACHES_MAX {
            let lock = File::create(home.join(format!("trial-{number}.lock")))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: home.join(format!("trial-{number}")), _lock: lock }),
                Err(TryLockError::WouldBlock) => (),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{CACHES_MAX} trials are running already; wait for one to end")))
    }
}

#[cfg(test)]
mod tests;
