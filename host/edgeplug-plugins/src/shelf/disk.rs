//! The directory of one shelf, by steps that a crash may end anywhere.
//!
//! What must stay true: files get their names only when their content is on disk (written aside, fsync, rename, fsync of
//! the directory); what a record names is written before it and deleted after it; everything read is capped and compared
//! with its hash, because the disk may have lied or been tampered with.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::record::{Hash, Record};

const RECORD: &str = "record.json";
/// A record that could not be read, for whoever wants to know why.
const BROKEN: &str = "record.broken";
/// Written aside; swept at the next opening.
const ASIDE: &str = ".part";
/// A record with the longest texts, each byte of them escaped.
const RECORD_BYTES_MAX: u64 = 1 << 20;
/// As large as a component may be (`loader`).
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// As large as a saved state may be (`instance`).
const STATE_BYTES_MAX: u64 = 1 << 20;
/// Permission bits that nobody but us may have.
const OTHERS: u32 = 0o077;

#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    #[cfg(test)]
    pub(super) fate: Fate,
}

/// What a file holds that is named after its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    State,
}

/// Lets a test end everything after some steps, as a kill does.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Fate(pub(super) std::sync::atomic::AtomicUsize);

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::Component => "wasm",
            Self::State => "state",
        }
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::Component => COMPONENT_BYTES_MAX,
            Self::State => STATE_BYTES_MAX,
        }
    }
}

impl Disk {
    /// Makes the directory if need be and clears away what a crash left half done.
    pub(super) fn open(directory: PathBuf) -> Result<Self, String> {
        make_private(&directory)?;
        let disk = Self {
            directory,
            #[cfg(test)]
            fate: Fate(usize::MAX.into()),
        };
        for path in disk.files() {
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ASIDE.as_bytes())) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(disk)
    }

    /// The record, or an empty one with the reason when what is there is none; that is put out of the way. The error is
    /// why it cannot be read, which says nothing about what is there: it stays.
    pub(super) fn read_record(&self) -> Result<(Record, Option<String>), String> {
        let path = self.directory.join(RECORD);
        let read = self.step().map_err(Unread::Io).and_then(|()| read_capped(&path, RECORD_BYTES_MAX));
        let broken = match read {
            Ok(None) => return Ok((Record::default(), None)),
            Ok(Some(text)) => match Record::parse(&text) {
                Ok(record) => return Ok((record, None)),
                Err(reason) => reason,
            },
            Err(Unread::NotOurs(reason)) => reason,
            Err(Unread::Io(error)) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let aside = self.directory.join(BROKEN);
        let moved = fs::rename(&path, &aside);
        let kept =
            moved.map_or_else(|error| format!("it cannot be moved away: {error}"), |()| aside.display().to_string());
        let reason = format!(
            "{} cannot be used ({broken}); the last good version and what was switched off are forgotten; see {kept}",
            path.display()
        );
        tracing::error!(reason, "what was known of a plugin is lost");
        Ok((Record::default(), Some(reason)))
    }

    /// Writes the record, and deletes what neither it nor `spared` names.
    pub(super) fn write_record(&self, record: &Record, spared: &BTreeSet<Hash>) -> Result<(), String> {
        self.put(RECORD, record.text()?.as_bytes())?;
        let good = record.good.as_ref();
        let components = good.map(|good| &good.id.component).into_iter();
        let components = components.chain(record.trial.as_ref().map(|trial| &trial.id.component)).chain(spared);
        let mut named: BTreeSet<_> = components.map(|hash| self.blob(hash, Kind::Component)).collect();
        named.extend(good.and_then(|good| good.state.as_ref()).map(|state| self.blob(state, Kind::State)));
        for path in self.files() {
            let is_blob = path.extension().is_some_and(|ending| ending == "wasm" || ending == "state");
            if is_blob && !named.contains(&path) {
                self.step().and_then(|()| fs::remove_file(&path)).map_err(|error| self.failed(&error))?;
            }
        }
        Ok(())
    }

    /// Writes a file that is named after its content. A record may name it afterwards.
    pub(super) fn write_blob(&self, hash: &Hash, kind: Kind, content: &[u8]) -> Result<(), String> {
        self.put(&name(hash, kind), content)
    }

    pub(super) fn read_blob(&self, hash: &Hash, kind: Kind) -> Result<Vec<u8>, String> {
        let path = self.blob(hash, kind);
        let content = read_capped(&path, kind.bytes_max()).map_err(|error| format!("{}: {error}", path.display()))?;
        let content = content.ok_or_else(|| format!("{} is missing", path.display()))?;
        if Hash::of(&content) == *hash {
            Ok(content)
        } else {
            Err(format!("{} is not what was written there", path.display()))
        }
    }

    /// The components that lie here, by their names.
    pub(super) fn components(&self) -> BTreeSet<Hash> {
        let hash = |path: PathBuf| {
            let is_component = path.extension().is_some_and(|ending| ending == Kind::Component.ending());
            let stem = path.file_stem().filter(|_| is_component)?.to_str()?;
            Hash::try_from(stem.to_owned()).ok()
        };
        self.files().into_iter().filter_map(hash).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    fn blob(&self, hash: &Hash, kind: Kind) -> PathBuf {
        self.directory.join(name(hash, kind))
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let aside = self.directory.join(format!(".{name}{ASIDE}"));
        let put = || {
            self.step()?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            self.step()?;
            file.write_all(content)?;
            self.step()?;
            file.sync_all()?;
            self.step()?;
            fs::rename(&aside, self.directory.join(name))?;
            self.step()?;
            File::open(&self.directory)?.sync_all()
        };
        put().map_err(|error| {
            // A full disk is no place for half a file.
            let _ = self.step().and_then(|()| fs::remove_file(&aside));
            self.failed(&error)
        })
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("cannot write to {}: {error}", self.directory.display())
    }

    /// Between two of these a kill can strike.
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::Relaxed;
            let left = self.fate.0.load(Relaxed);
            self.fate.0.store(left.saturating_sub(1), Relaxed);
            if left == 0 {
                return Err(io::Error::other("the process is dead"));
            }
        }
        Ok(())
    }
}

/// Makes a directory for us alone, or says why the one that is there is none.
pub(super) fn make_private(directory: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot use {}: {error}", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let metadata = fs::symlink_metadata(directory).map_err(failed)?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.permissions().mode() & OTHERS == 0;
    if metadata.is_dir() && is_ours {
        Ok(())
    } else {
        Err(format!(
            "{directory} must be a directory that belongs to the daemon's user and is closed to all others; `chown` it \
             and `chmod 700` it, or delete it",
            directory = directory.display()
        ))
    }
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// Whatever it is, we did not write it.
    #[error("{0}")]
    NotOurs(String),
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ELOOP) => Self::NotOurs("it is a link".to_owned()),
            _ => Self::Io(error),
        }
    }
}

/// None when there is no such file.
fn read_capped(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Unread> {
    // Neither a link nor a pipe is ours.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(Unread::NotOurs("it is no regular file".to_owned()));
    }
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    match u64::try_from(content.len()) {
        Ok(len) if len <= bytes_max => Ok(Some(content)),
        _ => Err(Unread::NotOurs(format!("it is larger than {bytes_max} bytes"))),
    }
}

fn name(hash: &Hash, kind: Kind) -> String {
    format!("{}.{}", hash.as_str(), kind.ending())
}
