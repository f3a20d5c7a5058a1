//! Reading a store from outside, beside whoever writes it, without leaving a trace.
//!
//! A file that has a write-ahead log is read as any second program reads it. One without a log is either closed or one of
//! a running daemon's older segments: it is read as immutable, because an ordinary reader would have to make a log that it
//! cannot take away again; and it is read once more if the daemon began to write it meanwhile.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use rusqlite::{Connection, OpenFlags};

use crate::{
    database::beside,
    error::{SqliteError, StatsError},
};

/// Attempts to read a file in one piece while it is being opened, written and closed by another.
const ATTEMPTS_MAX: usize = 5;

/// Reads from a file; `None` if there is no such file any more, or nothing in it yet.
pub(crate) fn look<T>(file: &Path, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<Option<T>, StatsError> {
    let read = |connection: &Connection| {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 { Ok(None) } else { read(connection).map(Some) }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |source| StatsError::Store { file: file.to_owned(), source: SqliteError(source) };
    for _ in 0..ATTEMPTS_MAX {
        let Some(before) = state(file)? else { return Ok(None) };
        let Some(uri) = immutable_uri(file).filter(|_| !before.has_log) else { break };
        let found = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
            .and_then(|connection| read(&connection));
        if state(file)? == Some(before) {
            return found.map_err(failed);
        }
    }
    match Connection::open_with_flags(file, flags).and_then(|connection| read(&connection)) {
        Ok(found) => Ok(found),
        Err(_) if state(file)?.is_none() => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// What changes when another writes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    has_log: bool,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

fn state(file: &Path) -> Result<Option<State>, StatsError> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(Some(State {
            has_log: beside(file, "-wal").exists(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StatsError::File { path: file.to_owned(), source }),
    }
}

/// `None` for a path that cannot be written as one.
fn immutable_uri(file: &Path) -> Option<String> {
    let path = file.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}
