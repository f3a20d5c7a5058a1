//! A look at an outbox from outside, also while a daemon uses it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    database::beside,
    directory::Layout,
    error::{SqliteError, StatsError},
    ledger::store::Counts,
    telemetry::store::Totals,
};

/// What an outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub live_rows: u64,
    /// Bytes of the bodies.
    pub live_bytes: u64,
    pub alarm_rows: u64,
    pub alarm_bytes: u64,
    /// Acknowledgements waiting to be delivered.
    pub acks: u64,
    pub commands_unfinished: u64,
    pub commands_finished: u64,
    pub facts: u64,
    /// Both files with their write-ahead logs (`-wal`) and the logs' indexes (`-shm`), in bytes.
    pub bytes_on_disk: u64,
    /// Room kept back for the time when the disk is full, in bytes.
    pub bytes_kept_back: u64,
    /// Files that were set aside because they were damaged, in bytes.
    pub bytes_set_aside: u64,
}

/// Reads the totals of the outbox in `directory`. Changes nothing and needs no lock; beside a running daemon it takes part in
/// the locks of the log's index, so it runs as the daemon's user or as root.
///
/// # Errors
/// See [`StatsError`].
pub fn stats(directory: &Path) -> Result<Stats, StatsError> {
    let layout = Layout { directory: directory.to_owned() };
    let (telemetry, ledger) = (layout.telemetry(), layout.ledger());
    if !telemetry.exists() || !ledger.exists() {
        return Err(StatsError::Missing { directory: directory.to_owned() });
    }
    let bytes_on_disk = store_bytes(&telemetry)? + store_bytes(&ledger)?;
    let bytes_set_aside = set_aside_bytes(&layout.telemetry_directory())? + set_aside_bytes(directory)?;
    let totals = read(&telemetry, Totals::read)?;
    let counts = read(&ledger, Counts::read)?;
    Ok(Stats {
        live_rows: totals.live.rows.unsigned_abs(),
        live_bytes: totals.live.bytes.unsigned_abs(),
        alarm_rows: totals.alarm.rows.unsigned_abs(),
        alarm_bytes: totals.alarm.bytes.unsigned_abs(),
        acks: counts.acks,
        commands_unfinished: counts.unfinished,
        commands_finished: counts.finished,
        facts: counts.facts,
        bytes_on_disk,
        bytes_kept_back: file_bytes(layout.telemetry_reserve())? + file_bytes(layout.ledger_reserve())?,
        bytes_set_aside,
    })
}

fn read<T>(file: &Path, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StatsError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match immutable_uri(file) {
        Some(uri) => Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI),
        None => Connection::open_with_flags(file, flags),
    };
    connection
        .and_then(|connection| read(&connection))
        .map_err(|source| StatsError::Store { file: file.to_owned(), source: SqliteError(source) })
}

/// A store that was closed has no log. Read as immutable it stays without one: a reader cannot take away the log that it
/// had to make.
fn immutable_uri(file: &Path) -> Option<String> {
    if beside(file, "-wal").exists() {
        return None;
    }
    let path = file.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

fn store_bytes(file: &Path) -> Result<u64, StatsError> {
    ["", "-wal", "-shm"].into_iter().map(|suffix| file_bytes(beside(file, suffix))).sum()
}

fn file_bytes(path: PathBuf) -> Result<u64, StatsError> {
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(StatsError::File { path, source }),
    }
}

fn set_aside_bytes(directory: &Path) -> Result<u64, StatsError> {
    let failed = |source| StatsError::File { path: directory.to_owned(), source };
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().contains(".db.damaged-") {
            bytes += file_bytes(entry.path())?;
        }
    }
    Ok(bytes)
}
