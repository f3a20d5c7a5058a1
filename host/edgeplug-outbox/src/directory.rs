//! The outbox directory: its rights, its lock, its durability.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::error::OpenError;

/// How long an opening waits for the lock. A child that another thread of the last holder was just starting holds a
/// copy of it until it runs its own program.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Holds the directory against other processes for as long as it lives; the kernel frees it however the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Paths inside the outbox directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
}

impl Layout {
    pub(crate) fn telemetry_directory(&self) -> PathBuf {
        self.directory.join("telemetry")
    }

    pub(crate) fn segment(&self, number: u32) -> PathBuf {
        self.telemetry_directory().join(format!("{number:06}.db"))
    }

    /// The numbers of the segments there are, oldest first.
    pub(crate) fn segments(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.telemetry_directory())? {
            let name = entry?.file_name();
            // Only names as `segment` makes them: not `1.db`, nor what lies beside a segment.
            let number = name.to_str().and_then(|name| name.strip_suffix(".db")?.parse().ok());
            numbers.extend(number.filter(|number| self.segment(*number).file_name() == Some(&name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The numbers of segments that are there or have left something behind.
    pub(crate) fn segments_named(&self) -> io::Result<BTreeSet<u32>> {
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(self.telemetry_directory())? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.split_once(".db")?.0.parse::<u32>().ok()));
        }
        Ok(numbers)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.db")
    }

    pub(crate) fn telemetry_reserve(&self) -> PathBuf {
        self.telemetry_directory().join("reserve")
    }

    pub(crate) fn ledger_reserve(&self) -> PathBuf {
        self.directory.join("ledger.reserve")
    }

    fn lock(&self) -> PathBuf {
        self.directory.join("outbox.lock")
    }

    /// Makes both directories, readable by the owner only. The rights of an existing outbox directory are left alone,
    /// because an operator may have named one that others share, but a looser one is reported.
    pub(crate) fn create(&self) -> Result<(), OpenError> {
        create_directory(&self.directory).map_err(failed(&self.directory))?;
        let mode = fs::metadata(&self.directory).map_err(failed(&self.directory))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(directory = %self.directory.display(), mode = format!("{:o}", mode & 0o777),
                "others can look into the outbox directory; chmod it to 700");
        }
        let telemetry = self.telemetry_directory();
        create_directory(&telemetry).map_err(failed(&telemetry))
    }

    /// Takes the directory for this process.
    pub(crate) fn lock_exclusively(&self) -> Result<Lock, OpenError> {
        let path = self.lock();
        let mut file = private_file(&path).map_err(failed(&path))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT_MAX => std::thread::sleep(LOCK_WAIT),
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::Locked { directory: self.directory.clone(), holder: holder(&mut file) });
                }
                Err(TryLockError::Error(source)) => return Err(OpenError::Directory { path, source }),
            }
        }
        // The process id only helps a person to find the holder: a full disk must not stop us here.
        if let Err(error) = write_holder(&mut file) {
            tracing::debug!(%error, "cannot note the process id in the lock file");
        }
        Ok(Lock { _file: file })
    }
}

/// Opens a file for reading and writing, making it readable by the owner only if it is new.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// A process id has at most seven digits.
const HOLDER_BYTES_MAX: u64 = 16;

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Directory { path, source }
}
