//! Opening one SQLite file so that it can be trusted: rights, schema version, integrity, settings.
//!
//! A file that is damaged is set aside under another name (`000001.db.damaged-1`, its write-ahead log beside it) and a
//! fresh one takes its place. Failures of the disk are no damage: they are returned and may heal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{
    directory::{private_file, sync_directory},
    error::{OpenError, SqliteError, is_damage},
    event::{Damaged, Store},
};

/// How long a write waits for another connection; ours only read, so only a hand with an SQLite shell holds one longer.
const BUSY_WAIT: Duration = Duration::from_millis(250);
/// At a start, files up to this size are read in full to check them (about a second on slow flash). Larger ones are
/// checked where they are read, and in full once something about them looked wrong.
const CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The write-ahead log is cut back to this many bytes when it starts over. Not zero: a log that keeps its room on disk
/// can still take removals when the disk is full.
const JOURNAL_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Row and acknowledgement ids of a file that replaces the n-th damaged one start above `n << GENERATION_BITS`, because
/// the ids given out by the damaged one cannot be known. 2^40 rows are 348 years at 100 a second; 2^23 generations fit.
const GENERATION_BITS: u32 = 40;
/// Prepared statements kept per connection; each store uses fewer.
const STATEMENTS_CACHED: usize = 32;

/// What a file must look like.
pub(crate) struct Schema {
    pub(crate) store: Store,
    pub(crate) version: i64,
    /// Makes the tables in an empty file. `?` ids start at the number passed to `seed`.
    pub(crate) create: &'static str,
    /// Sets where ids start in a fresh file; one parameter.
    pub(crate) seed: &'static str,
    /// Statements that must fit the tables.
    pub(crate) probes: &'static [&'static str],
    pub(crate) cache_kib: i32,
    /// Pages of 4 KiB in the write-ahead log after which a commit moves them into the file.
    pub(crate) checkpoint_pages: u32,
}

/// How much of the file to read before trusting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// All of it unless it is large.
    Start,
    /// All of it.
    Full,
}

/// A file that can be used.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) damaged: Option<Damaged>,
}

/// Opens or creates the file at `path`; sets it aside first if it is damaged.
pub(crate) fn open(path: &Path, schema: &Schema, check: Check) -> Result<Opened, OpenError> {
    let in_directory = |source| OpenError::Directory { path: path.to_owned(), source };
    finish_setting_aside(path).map_err(in_directory)?;
    match open_trusted(path, schema, check) {
        Ok(connection) => Ok(Opened { connection, damaged: None }),
        Err(Refusal::Damaged(reason)) => {
            let set_aside = set_aside(path).map_err(in_directory)?;
            let damaged = Damaged { store: schema.store, set_aside, reason };
            let connection = open_trusted(path, schema, check).map_err(|refusal| match refusal {
                Refusal::Damaged(reason) => OpenError::Store {
                    file: path.to_owned(),
                    source: SqliteError(failure(rusqlite::ffi::SQLITE_CORRUPT, reason)),
                },
                Refusal::Open(error) => error,
            })?;
            Ok(Opened { connection, damaged: Some(damaged) })
        }
        Err(Refusal::Open(error)) => Err(error),
    }
}

/// Begins a transaction that takes the write lock at once.
pub(crate) fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Moves the write-ahead log into the file and empties it.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Writes and takes back as much as a busy group of small rows needs, to see whether the store can write.
pub(crate) fn try_writing(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    transaction.execute("INSERT INTO probe (body) VALUES (zeroblob(?1))", [PROBE_BYTES])?;
    transaction.commit()?;
    connection.execute("DELETE FROM probe", [])?;
    Ok(())
}

/// Room that must be free before a store counts as healed.
const PROBE_BYTES: i64 = 64 * 1024;

/// Paths that SQLite keeps beside a file.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

enum Refusal {
    Damaged(String),
    Open(OpenError),
}

fn open_trusted(path: &Path, schema: &Schema, check: Check) -> Result<Connection, Refusal> {
    let refused = |source: rusqlite::Error| {
        if is_damage(&source) {
            Refusal::Damaged(source.to_string())
        } else {
            Refusal::Open(OpenError::Store { file: path.to_owned(), source: SqliteError(source) })
        }
    };
    let io = |source| Refusal::Open(OpenError::Directory { path: path.to_owned(), source });
    let file = private_file(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    drop(file);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(refused)?;
    connection.busy_timeout(BUSY_WAIT).map_err(refused)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // The file may have been written by anyone who could write here: no SQL out of it is run with side effects.
    connection.pragma_update(None, "trusted_schema", false).map_err(refused)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(refused)?;

    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refused)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(refused)?;
    if found == 0 && tables == 0 {
        create(&connection, path, schema).map_err(refused)?;
        if let Some(directory) = path.parent() {
            sync_directory(directory).map_err(io)?;
        }
    } else {
        if check == Check::Full || bytes <= CHECK_BYTES_MAX {
            let verdict: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
            if verdict != "ok" {
                return Err(Refusal::Damaged(verdict));
            }
        }
        if found > schema.version {
            let file = path.to_owned();
            return Err(Refusal::Open(OpenError::Newer { file, found, known: schema.version }));
        }
        if found != schema.version {
            return Err(Refusal::Damaged(format!("schema version {found} was never released")));
        }
    }
    configure(&connection, schema).map_err(refused)?;
    for sql in schema.probes {
        connection.prepare_cached(sql).map_err(refused)?;
    }
    Ok(connection)
}

fn create(connection: &Connection, path: &Path, schema: &Schema) -> rusqlite::Result<()> {
    // Must be set before the first table is made.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = begin(connection)?;
    transaction.execute_batch(schema.create)?;
    transaction.execute(schema.seed, [generation(path) << GENERATION_BITS])?;
    transaction.pragma_update(None, "user_version", schema.version)?;
    transaction.commit()
}

fn configure(connection: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", schema.checkpoint_pages)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -schema.cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let sync: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if sync != SYNCHRONOUS_FULL || journal != "wal" {
        let why = format!("this file system gave journal mode {journal}, synchronous {sync} instead of wal, full");
        return Err(failure(rusqlite::ffi::SQLITE_CANTOPEN, why));
    }
    Ok(())
}

fn failure(code: i32, why: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(why))
}

/// SQLite documentation, PRAGMA synchronous.
const SYNCHRONOUS_FULL: i64 = 2;

/// Highest number of a file set aside from this place, 0 for none.
fn generation(path: &Path) -> i64 {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return 0;
    };
    let prefix = format!("{name}.damaged-");
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
        .filter(|number| (1..GENERATION_MAX).contains(number))
        .max()
        .unwrap_or(0)
}

/// So that ids stay positive.
const GENERATION_MAX: i64 = 1 << 22;

/// SQLite keeps the log (`-wal`) and its index (`-shm`) beside the file; both belong to the file that is set aside.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, &format!(".damaged-{}", generation(path) + 1));
    fs::rename(path, &aside)?;
    move_companions(path, &aside)?;
    Ok(aside)
}

/// A crash between the renames of [`set_aside`] leaves a log without its file; SQLite would delete it.
fn finish_setting_aside(path: &Path) -> io::Result<()> {
    let number = generation(path);
    if path.exists() || number == 0 {
        return Ok(());
    }
    move_companions(path, &beside(path, &format!(".damaged-{number}")))
}

fn move_companions(from: &Path, to: &Path) -> io::Result<()> {
    for suffix in COMPANIONS {
        let (from, to) = (beside(from, suffix), beside(to, suffix));
        if from.exists() && !to.exists() {
            fs::rename(from, to)?;
        }
    }
    match from.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}
