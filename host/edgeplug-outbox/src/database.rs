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
    outbox::Durability,
};

/// Bytes of a page of a new file: SQLite's default, and what this crate's arithmetic of room is made of.
pub(crate) const PAGE_BYTES: u64 = 4_096;

/// How long a write waits for another connection; ours only read, so only a hand with an SQLite shell holds one longer.
const BUSY_WAIT: Duration = Duration::from_millis(250);
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
    /// Makes the tables of the newest version in an empty file.
    pub(crate) create: &'static str,
    /// Sets where ids start in a fresh file; one parameter: the highest id given out before.
    pub(crate) seed: &'static str,
    /// The n-th of them makes version n + 1 out of version n; the newest version is one more than there are.
    pub(crate) upgrades: &'static [&'static str],
    /// Statements that must fit the tables.
    pub(crate) probes: &'static [&'static str],
    /// Reads what every use of the file rests on, and as much more as the check asks for.
    pub(crate) verify: fn(&Connection, Check) -> rusqlite::Result<()>,
    /// Counts the undelivered rows; one number. Asked of a damaged file as well.
    pub(crate) rows: &'static str,
    pub(crate) cache_kib: i32,
}

impl Schema {
    fn version(&self) -> i64 {
        self.upgrades.len() as i64 + 1
    }
}

/// How much of the file to read before trusting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Its header and tables: damage elsewhere is met where it is read.
    Head,
    /// All of it.
    Full,
}

/// At a start, files are read in full to check them up to this many bytes together (about a second on slow flash), the
/// newest first. The others are checked where they are read, and in full once something about them looked wrong.
pub(crate) const CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Check {
    /// Full if the file fits what is left of the budget.
    pub(crate) fn within(budget: &mut u64, path: &Path) -> Self {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        match budget.checked_sub(bytes) {
            Some(left) => {
                *budget = left;
                Self::Full
            }
            None => Self::Head,
        }
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) check: Check,
    pub(crate) durability: Durability,
    /// Ids of a fresh file start above it.
    pub(crate) given_out: i64,
}

/// A file that can be used.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) damaged: Option<Damaged>,
}

/// Opens or creates the file at `path`; sets it aside first if it is damaged.
pub(crate) fn open(path: &Path, schema: &Schema, opening: Opening) -> Result<Opened, OpenError> {
    match open_existing(path, schema, opening)? {
        Ok(connection) => Ok(Opened { connection, damaged: None }),
        Err(damaged) => {
            let connection = open_trusted(path, schema, opening).map_err(|refusal| match refusal {
                Refusal::Damaged(reason) => OpenError::Store {
                    file: path.to_owned(),
                    source: SqliteError(failure(rusqlite::ffi::SQLITE_CORRUPT, reason)),
                },
                Refusal::Open(error) => error,
            })?;
            Ok(Opened { connection, damaged: Some(damaged) })
        }
    }
}

/// As [`open`], but nothing takes the place of a damaged file.
pub(crate) fn open_existing(
    path: &Path,
    schema: &Schema,
    opening: Opening,
) -> Result<Result<Connection, Damaged>, OpenError> {
    let in_directory = |source| OpenError::Directory { path: path.to_owned(), source };
    finish_setting_aside(path).map_err(in_directory)?;
    match open_trusted(path, schema, opening) {
        Ok(connection) => Ok(Ok(connection)),
        Err(Refusal::Damaged(reason)) => {
            let rows_lost = count_rows(path, schema);
            let set_aside = set_aside(path).map_err(in_directory)?;
            Ok(Err(Damaged { store: schema.store, set_aside, reason, rows_lost }))
        }
        Err(Refusal::Open(error)) => Err(error),
    }
}

/// Begins a transaction that takes the write lock at once.
pub(crate) fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Commits and takes back so many bytes, to see whether the store can write.
pub(crate) fn try_writing(connection: &Connection, bytes: u32) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    transaction.execute("INSERT INTO probe (body) VALUES (zeroblob(?1))", [bytes])?;
    transaction.commit()?;
    connection.execute("DELETE FROM probe", [])?;
    Ok(())
}

/// Paths that SQLite keeps beside a file.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Deletes a file and what SQLite keeps beside it. The file first, and for certain: a log without its file is known as a
/// leftover, a file that a power cut brought back without its log would be half a store.
pub(crate) fn delete_file(path: &Path) -> io::Result<()> {
    delete(path)?;
    if let Some(directory) = path.parent() {
        sync_directory(directory)?;
    }
    COMPANIONS.into_iter().try_for_each(|suffix| delete(&beside(path, suffix)))
}

/// Clears away what a crash left beside a file that is gone: of one that was being set aside it is moved after it.
pub(crate) fn clear_leftovers(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    finish_setting_aside(path)?;
    delete_file(path)
}

fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

enum Refusal {
    Damaged(String),
    Open(OpenError),
}

fn open_trusted(path: &Path, schema: &Schema, opening: Opening) -> Result<Connection, Refusal> {
    let refused = |source: rusqlite::Error| {
        if is_damage(&source) {
            Refusal::Damaged(source.to_string())
        } else {
            Refusal::Open(OpenError::Store { file: path.to_owned(), source: SqliteError(source) })
        }
    };
    let io = |source| Refusal::Open(OpenError::Directory { path: path.to_owned(), source });
    drop(private_file(path).map_err(io)?);
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
        create(&connection, path, schema, opening.given_out).map_err(refused)?;
        if let Some(directory) = path.parent() {
            sync_directory(directory).map_err(io)?;
        }
    } else {
        if found > schema.version() {
            let file = path.to_owned();
            return Err(Refusal::Open(OpenError::Newer { file, found, known: schema.version() }));
        }
        if found < 1 {
            return Err(Refusal::Damaged(format!("schema version {found} was never released")));
        }
        if opening.check == Check::Full {
            let verdict: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
            if verdict != "ok" {
                return Err(Refusal::Damaged(verdict));
            }
        }
        if found < schema.version() {
            upgrade(&connection, schema, found).map_err(refused)?;
        }
    }
    configure(&connection, schema, opening.durability).map_err(refused)?;
    for sql in schema.probes {
        connection.prepare_cached(sql).map_err(refused)?;
    }
    (schema.verify)(&connection, opening.check).map_err(refused)?;
    Ok(connection)
}

fn create(connection: &Connection, path: &Path, schema: &Schema, given_out: i64) -> rusqlite::Result<()> {
    // Must be set before the first table is made.
    connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = begin(connection)?;
    transaction.execute_batch(schema.create)?;
    transaction.execute(schema.seed, [given_out.max(ids_given_out_by_damaged(path))])?;
    transaction.pragma_update(None, "user_version", schema.version())?;
    transaction.commit()
}

/// All steps in one transaction: a crash leaves the old version or the new one.
fn upgrade(connection: &Connection, schema: &Schema, found: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = begin(connection)?;
    for step in schema.upgrades.iter().skip(usize::try_from(found - 1).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", schema.version())?;
    transaction.commit()?;
    tracing::info!(store = %schema.store, from = found, to = schema.version(), "the store was upgraded");
    Ok(())
}

fn configure(connection: &Connection, schema: &Schema, durability: Durability) -> rusqlite::Result<()> {
    let (name, wanted) = match durability {
        Durability::PowerLoss => ("FULL", SYNCHRONOUS_FULL),
        Durability::ProcessCrash => ("NORMAL", SYNCHRONOUS_NORMAL),
    };
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", name)?;
    // Checkpoints are made between commits, see `log.rs`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -schema.cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let sync: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if sync != wanted || journal != "wal" {
        let why = format!("this file system gave journal mode {journal}, synchronous {sync} instead of wal, {name}");
        return Err(failure(rusqlite::ffi::SQLITE_CANTOPEN, why));
    }
    Ok(())
}

/// What a file that holds something no release wrote is refused with.
pub(crate) fn hostile(why: &str) -> rusqlite::Error {
    failure(rusqlite::ffi::SQLITE_CORRUPT, why.to_owned())
}

pub(crate) fn failure(code: i32, why: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(why))
}

/// SQLite documentation, PRAGMA synchronous.
const SYNCHRONOUS_NORMAL: i64 = 1;
const SYNCHRONOUS_FULL: i64 = 2;

/// Ids at or below it may have been given out by damaged files that were set aside in the directory of `path`.
pub(crate) fn ids_given_out_by_damaged(path: &Path) -> i64 {
    generation(path, "") << GENERATION_BITS
}

/// The highest number of the files of this name (of all, if it is empty) that were set aside beside `path`, 0 for none.
fn generation(path: &Path, name: &str) -> i64 {
    let Some(Ok(entries)) = path.parent().map(fs::read_dir) else { return 0 };
    entries
        .filter_map(|entry| {
            let file_name = entry.ok()?.file_name();
            let (of, number) = file_name.to_str()?.split_once(".damaged-")?;
            if of == name || name.is_empty() { number.parse().ok() } else { None }
        })
        .filter(|number| (1..GENERATION_MAX).contains(number))
        .max()
        .unwrap_or(0)
}

/// So that ids stay positive.
const GENERATION_MAX: i64 = 1 << 22;

/// What SQLite keeps beside a file: its log, the log's index and, while the file is being made, its rollback journal.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How many undelivered rows a file holds, if it can still say.
fn count_rows(path: &Path, schema: &Schema) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    let rows: i64 = connection.query_row(schema.rows, [], |row| row.get(0)).ok()?;
    u64::try_from(rows).ok()
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, &format!(".damaged-{}", generation(path, "") + 1));
    fs::rename(path, &aside)?;
    move_companions(path, &aside)?;
    Ok(aside)
}

/// A crash between the renames of [`set_aside`] leaves a log without its file; SQLite would delete it.
fn finish_setting_aside(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    let number = generation(path, name);
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

#[cfg(test)]
mod tests;
