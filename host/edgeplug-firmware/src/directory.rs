//! A directory of ours, held open: whatever is planted in it, no name leads out of it.
//!
//! What must stay true: every step goes below an open directory by one plain name and follows no link; a file gets its
//! name when its content is on disk; what is found in place of a file of ours (a link, a pipe, a directory) is removed
//! and counts as missing.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, fstatvfs, linkat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Files that are written before they get their names begin so.
const ASIDE: &str = ".aside-";
/// Permission bits that nobody but us may have.
const OTHERS: u32 = 0o077;
const OURS: Mode = Mode::from_raw_mode(0o600);
const OUR_DIRECTORY: Mode = Mode::from_raw_mode(0o700);

#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file that is written and has no name yet.
pub(crate) struct Aside(String);

impl Directory {
    /// Makes the directory if need be, for us alone, or says why the one that is there is none.
    pub(crate) fn private(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let fd: OwnedFd =
            rustix::fs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & OTHERS != 0 {
            return Err(io::Error::other(
                "it must belong to the daemon's user and be closed to all others; `chown` it and `chmod 700` it, or \
                 delete it",
            ));
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of this name, if there is one.
    pub(crate) fn child(&self, name: &str) -> io::Result<Option<Self>> {
        match openat(&self.fd, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.path.join(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.evict(name)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of this name, made if need be.
    pub(crate) fn make_child(&self, name: &str) -> io::Result<Self> {
        if let Some(child) = self.child(name)? {
            return Ok(child);
        }
        step()?;
        mkdirat(&self.fd, name, OUR_DIRECTORY)?;
        self.sync()?;
        self.child(name)?.ok_or_else(|| io::Error::other(format!("{name} was taken away")))
    }

    /// A file of ours to be read, if there is one.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<File>> {
        self.open_with(name, OFlags::RDONLY)
    }

    /// A file of ours to be written, made if need be.
    pub(crate) fn open_to_write(&self, name: &str) -> io::Result<File> {
        if let Some(file) = self.open_with(name, OFlags::RDWR)? {
            if file.metadata()?.nlink() == 1 {
                return Ok(file);
            }
            self.evict(name)?;
        }
        step()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, name, flags, OURS)?;
        self.sync()?;
        Ok(file.into())
    }

    fn open_with(&self, name: &str, access: OFlags) -> io::Result<Option<File>> {
        // A pipe must not hold up who looks at it.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => {
                let file = File::from(fd);
                if file.metadata()?.is_file() {
                    return Ok(Some(file));
                }
            }
            Err(Errno::NOENT) => return Ok(None),
            // A link, a pipe or a socket without a reader, a directory.
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        self.evict(name)?;
        Ok(None)
    }

    /// All of a small file, if there is one; more than `bytes_max` is an error.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut content)?;
        match u64::try_from(content.len()) {
            Ok(len) if len <= bytes_max => Ok(Some(content)),
            _ => Err(io::Error::other(format!("{name} is larger than {bytes_max} bytes"))),
        }
    }

    /// Writes a small file so that it is there whole or not at all.
    pub(crate) fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let aside = self.write_aside(content)?;
        self.settle(aside, name)?;
        self.sync()
    }

    /// Writes a file that gets its name by [`Self::settle`].
    pub(crate) fn write_aside(&self, content: &[u8]) -> io::Result<Aside> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let aside = format!("{ASIDE}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let write = || {
            step()?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.fd, &aside, flags, OURS)?);
            step()?;
            file.write_all(content)?;
            step()?;
            file.sync_all()
        };
        let written = write();
        if let Err(error) = written {
            // A full disk is no place for half a file.
            let _ = self.remove(&aside);
            return Err(error);
        }
        Ok(Aside(aside))
    }

    pub(crate) fn settle(&self, aside: Aside, name: &str) -> io::Result<()> {
        self.rename(&aside.0, self, name)
    }

    pub(crate) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        step()?;
        Ok(renameat(&self.fd, name, &to.fd, new)?)
    }

    /// Gives a file another name besides.
    pub(crate) fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        step()?;
        Ok(linkat(&self.fd, name, &to.fd, new, AtFlags::empty())?)
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        step()?;
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => self.remove_directory(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a directory with all that is in it; links in it are removed, not followed.
    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        step()?;
        match fs::remove_dir_all(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The names of what is here and is text.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            names.extend(name.into_string().ok().filter(|name| name != "." && name != ".."));
        }
        Ok(names)
    }

    /// How many bytes the files here take.
    pub(crate) fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.open(name)?.map(|file| file.metadata()).transpose()?.map_or(0, |metadata| metadata.len()))
    }

    /// Removes what a crash left half written.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(ASIDE)) {
            self.remove(name)?;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        step()?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Bytes that we may still write here.
    pub(crate) fn room(&self) -> io::Result<u64> {
        let stat = fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn evict(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        tracing::warn!(path = %path.display(), "something else lay in place of a file of ours; it is removed");
        self.remove(name)
    }
}

/// Between two of these a kill can strike; a test counts them down.
pub(crate) fn step() -> io::Result<()> {
    #[cfg(test)]
    fate::step()?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod fate {
    use std::cell::Cell;
    use std::io;

    std::thread_local!(static LEFT: Cell<usize> = const { Cell::new(usize::MAX) });

    /// Everything on this thread fails after so many steps, as after a kill.
    pub(crate) fn die_after(steps: usize) {
        LEFT.set(steps);
    }

    pub(crate) fn live() {
        LEFT.set(usize::MAX);
    }

    pub(super) fn step() -> io::Result<()> {
        let left = LEFT.get();
        LEFT.set(if left == usize::MAX { left } else { left.saturating_sub(1) });
        if left == 0 { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}
