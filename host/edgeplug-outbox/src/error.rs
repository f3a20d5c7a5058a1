//! Why the outbox could not be opened, and how a store's own failures are classed.

use std::{error::Error, io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::database::Check;

/// The outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file could not be created, read or protected.
    #[error("cannot prepare {path}; check that it exists, who owns it and that the disk has room")]
    Directory { path: PathBuf, source: io::Error },
    /// There is nothing to open, and nothing is to be made.
    #[error("no outbox in {directory}; name the directory the daemon uses")]
    Missing { directory: PathBuf },
    /// Another process has the directory.
    #[error("outbox directory {directory} is in use{}; stop that process or name another directory", by(.holder))]
    Locked { directory: PathBuf, holder: Option<u32> },
    /// A later release wrote the file.
    #[error("{file} has schema version {found}, this release knows up to {known}; install the later release again")]
    Newer { file: PathBuf, found: i64, known: i64 },
    /// The limits leave no room for anything of use.
    #[error(
        "outbox.available_space_mb allows {bytes_max} bytes, but with outbox.file_count = {files_max} at least \
         {bytes_min} bytes and one file are needed; raise the first or lower the second"
    )]
    Limits { bytes_max: u64, files_max: u16, bytes_min: u64 },
    /// SQLite could not open or prepare a file that is not known to be damaged.
    #[error("cannot open {file}; check its owner and that the disk can be written")]
    Store { file: PathBuf, source: SqliteError },
    /// The owner thread could not be started.
    #[error("cannot start the outbox thread")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// Whether opening may succeed later without anyone changing the installation: a full or read-only disk, a store
    /// that is busy.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Directory { .. } | Self::Store { .. } | Self::Thread(_) => true,
            Self::Missing { .. } | Self::Locked { .. } | Self::Newer { .. } | Self::Limits { .. } => false,
        }
    }
}

/// The outbox cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    #[error("no outbox in {directory}; name the directory the daemon uses")]
    Missing { directory: PathBuf },
    #[error("cannot read {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot read the store {file}")]
    Store { file: PathBuf, source: SqliteError },
}

/// What SQLite said. It has no source, because its source says the same again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SqliteError(pub(crate) rusqlite::Error);

/// A store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub(crate) struct StoreError {
    pub(crate) doing: &'static str,
    pub(crate) source: SqliteError,
}

/// What may bring a store back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Making room: the disk is full.
    Room,
    /// Trying again on the same connection: busy.
    Wait,
    /// Opening the file again: the disk went away, turned read-only or failed.
    Reopen,
    /// Setting the file aside if a full check agrees.
    Check,
}

impl Remedy {
    /// Whether the file is to be opened again, and how much of it to check then.
    pub(crate) fn reopen(self) -> Option<Check> {
        match self {
            Self::Room | Self::Wait => None,
            Self::Reopen => Some(Check::Head),
            Self::Check => Some(Check::Full),
        }
    }
}

impl StoreError {
    pub(crate) fn remedy(&self) -> Remedy {
        self.source.remedy()
    }
}

impl SqliteError {
    fn remedy(&self) -> Remedy {
        if is_damage(&self.0) {
            return Remedy::Check;
        }
        match self.0.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Remedy::Room,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => Remedy::Wait,
            _ => Remedy::Reopen,
        }
    }
}

impl OpenError {
    /// What may bring a store back whose file cannot be opened again or taken up.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Directory { source, .. } if source.kind() == io::ErrorKind::StorageFull => Remedy::Room,
            Self::Store { source, .. } => match source.remedy() {
                Remedy::Wait => Remedy::Reopen,
                other => other,
            },
            _ => Remedy::Reopen,
        }
    }
}

/// Names what was being done when SQLite refused.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError { doing, source: SqliteError(source) })
    }
}

/// Whether the file itself is at fault, not the disk, its rights or its room.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
        // SQL that this release wrote does not fit the file's tables.
        Some(ErrorCode::Unknown) => true,
        Some(_) => error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_CORRUPTFS),
        // A value of another type or range than this release writes.
        None => true,
    }
}

/// An error and its source in one line, for events that are read by people.
pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn by(holder: &Option<u32>) -> String {
    holder.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}
