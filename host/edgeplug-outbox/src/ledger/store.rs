//! The ledger tables: commands, their acknowledgements, facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    database::{self, Check, Opened, Opening, Schema},
    error::{Doing as _, OpenError, SqliteError, StoreError, chain},
    event::{AckId, Damaged, FinishOutcome, OutboxEvent, RecordOutcome, Store, StoredAck, StoredCommand},
    log::{Log, LogLimits},
    outbox::Durability,
    request::{
        ACKS_UNDELIVERED_MAX, Ack, BODY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, COMMANDS_SEEN_MAX, COMMANDS_UNFINISHED_MAX,
        FACT_BYTES_MAX, FACTS_MAX, KEY_BYTES_MAX, LOAD_BYTES_MAX, LOAD_ROWS_MAX,
    },
    written::Counters,
};

/// The ledger changes rarely and by little.
const CACHE_KIB: i32 = 256;

const SCHEMA: Schema = Schema {
    store: Store::Ledger,
    create: "
        CREATE TABLE commands (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            received_unix_ms INTEGER NOT NULL,
            finished_unix_ms INTEGER,
            body BLOB NOT NULL
        ) STRICT;
        CREATE INDEX commands_unfinished ON commands (id) WHERE finished_unix_ms IS NULL;
        CREATE INDEX commands_finished ON commands (finished_unix_ms) WHERE finished_unix_ms IS NOT NULL;
        CREATE TABLE acks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL,
            kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
            link_down INTEGER NOT NULL CHECK (link_down IN (0, 1)),
            created_unix_ms INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
        CREATE TABLE probe (body BLOB NOT NULL) STRICT;
    ",
    seed: "INSERT INTO sqlite_sequence (name, seq) VALUES ('acks', ?1)",
    upgrades: &[],
    probes: &[
        FIND_COMMAND,
        INSERT_COMMAND,
        NOTE_COMMAND,
        FINISH_COMMAND,
        FORGET_OLDEST,
        PRUNE,
        INSERT_ACK,
        FIND_ACK,
        DELETE_ACK,
        LOAD_ACKS,
        PUT_FACT,
        DELETE_FACT,
        COUNTS,
        UNFINISHED,
        FACTS,
    ],
    verify,
    rows: "SELECT count(*) FROM acks",
    cache_kib: CACHE_KIB,
};

/// Its half is where the log is moved into the file: about what the ledger of a busy device holds.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What must fit before the ledger counts as healed.
const PROBE_BYTES: u32 = 64 * 1024;

const FIND_COMMAND: &str = "SELECT finished_unix_ms IS NOT NULL FROM commands WHERE key = ?1";
const INSERT_COMMAND: &str = "INSERT INTO commands (key, received_unix_ms, body) VALUES (?1, ?2, ?3)";
const NOTE_COMMAND: &str = "UPDATE commands SET body = ?2 WHERE key = ?1 AND finished_unix_ms IS NULL";
const FINISH_COMMAND: &str = "UPDATE commands SET finished_unix_ms = ?2, body = x'' WHERE key = ?1";
const FORGET_OLDEST: &str = "DELETE FROM commands WHERE id = (SELECT id FROM commands \
     WHERE finished_unix_ms IS NOT NULL ORDER BY finished_unix_ms, id LIMIT 1)";
const PRUNE: &str = "DELETE FROM commands WHERE finished_unix_ms < ?1";
const INSERT_ACK: &str = "INSERT INTO acks (key, kind, link_down, created_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const FIND_ACK: &str = "SELECT id FROM acks WHERE key = ?1";
const DELETE_ACK: &str = "DELETE FROM acks WHERE id = ?1";
const LOAD_ACKS: &str = "SELECT id, key, kind, link_down, created_unix_ms, body FROM acks WHERE id > ?1 ORDER BY id";
const PUT_FACT: &str = "INSERT INTO facts (name, value) VALUES (?1, ?2) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const DELETE_FACT: &str = "DELETE FROM facts WHERE name = ?1";
pub(crate) const COUNTS: &str = "SELECT \
     (SELECT count(*) FROM commands WHERE finished_unix_ms IS NULL), \
     (SELECT count(*) FROM commands WHERE finished_unix_ms IS NOT NULL), \
     (SELECT count(*) FROM acks), (SELECT count(*) FROM facts)";
const UNFINISHED: &str =
    "SELECT key, received_unix_ms, body FROM commands WHERE finished_unix_ms IS NULL ORDER BY id LIMIT ?1";
const FACTS: &str = "SELECT name, value FROM facts ORDER BY name LIMIT ?1";

/// Everything that is read back as a whole.
const OVERSIZED: &str = "SELECT EXISTS (SELECT 1 FROM commands \
     WHERE finished_unix_ms IS NULL AND (octet_length(key) > ?1 OR length(body) > ?2)) \
     OR EXISTS (SELECT 1 FROM acks WHERE octet_length(key) > ?1 OR length(body) > ?3) \
     OR EXISTS (SELECT 1 FROM facts WHERE octet_length(name) > ?1 OR length(value) > ?4)";

fn verify(connection: &Connection, _: Check) -> rusqlite::Result<()> {
    Counts::read(connection)?;
    let sizes = [KEY_BYTES_MAX, COMMAND_BODY_BYTES_MAX, BODY_BYTES_MAX, FACT_BYTES_MAX].map(|bytes| bytes as i64);
    if connection.query_row(OVERSIZED, sizes, |row| row.get(0))? {
        return Err(database::hostile("the ledger holds more at a time than any release wrote"));
    }
    Ok(())
}

/// What the ledger is asked, in the order it takes effect.
#[derive(Debug)]
pub(crate) enum Entry {
    Record { ticket: u64, key: String, body: Bytes, received_unix_ms: i64 },
    Note { ticket: u64, key: String, body: Bytes },
    Finish { ticket: u64, key: String, finished_unix_ms: i64, ack: Option<Ack> },
    RemoveAcks(Vec<AckId>),
    LoadAcks(LoadAcks),
    Put { ticket: u64, name: String, value: Option<Bytes> },
    Prune { finished_before_unix_ms: i64 },
}

impl Entry {
    /// Acknowledgements that it names to be removed.
    pub(super) fn removed(&self) -> u64 {
        match self {
            Self::RemoveAcks(ids) => ids.len() as u64,
            _ => 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadAcks {
    pub(crate) ticket: u64,
    pub(crate) after: AckId,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) unfinished: u64,
    pub(crate) finished: u64,
    pub(crate) acks: u64,
    pub(crate) facts: u64,
}

impl Counts {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(COUNTS, [], |row| {
            let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
            Ok(Self { unfinished: count(0)?, finished: count(1)?, acks: count(2)?, facts: count(3)? })
        })
    }
}

/// An open ledger.
pub(super) struct LedgerStore {
    connection: Connection,
    log: Log,
    /// As committed.
    counts: Counts,
}

impl LedgerStore {
    pub(super) fn open(
        path: &Path,
        check: Check,
        written: Arc<Counters>,
    ) -> Result<(Self, Option<Damaged>), OpenError> {
        let opening = Opening { check, durability: Durability::PowerLoss, given_out: 0 };
        let Opened { connection, damaged } = database::open(path, &SCHEMA, opening)?;
        let failed = |source| OpenError::Store { file: path.to_owned(), source: SqliteError(source) };
        let counts = Counts::read(&connection).map_err(failed)?;
        let log = Log::open(&connection, LogLimits::within(LOG_BYTES_MAX), written).map_err(failed)?;
        Ok((Self { connection, log, counts }, damaged))
    }

    /// Does all of it in one transaction and says what happened, or nothing of it.
    pub(super) fn transact(&mut self, entries: &[Entry]) -> Result<Vec<OutboxEvent>, StoreError> {
        let mut counts = self.counts;
        let mut events = Vec::with_capacity(entries.len());
        let transaction = database::begin(&self.connection).doing("begin a ledger transaction")?;
        for entry in entries {
            if let Some(event) = apply(&transaction, entry, &mut counts)? {
                events.push(event);
            }
        }
        transaction.commit().doing("commit to the ledger")?;
        self.log.committed(&self.connection);
        self.counts = counts;
        Ok(events)
    }

    /// Leaves out those whose removal is owed.
    pub(super) fn load_acks(
        &self,
        load: &LoadAcks,
        owed: &BTreeSet<AckId>,
    ) -> Result<(Vec<StoredAck>, bool), StoreError> {
        read_acks(&self.connection, load, owed).doing("read acknowledgements")
    }

    pub(super) fn unfinished(&self) -> rusqlite::Result<Vec<StoredCommand>> {
        // The limit holds for any ledger of ours; a hand-made one must not fill the memory.
        let mut statement = self.connection.prepare_cached(UNFINISHED)?;
        statement
            .query_map([COMMANDS_UNFINISHED_MAX], |row| {
                Ok(StoredCommand {
                    key: row.get(0)?,
                    received_unix_ms: row.get(1)?,
                    body: Bytes::from(row.get::<_, Vec<u8>>(2)?),
                })
            })?
            .collect()
    }

    pub(super) fn facts(&self) -> rusqlite::Result<BTreeMap<String, Bytes>> {
        let mut statement = self.connection.prepare_cached(FACTS)?;
        statement.query_map([FACTS_MAX], |row| Ok((row.get(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?))))?.collect()
    }

    pub(super) fn try_writing(&mut self) -> Result<(), StoreError> {
        database::try_writing(&self.connection, PROBE_BYTES).doing("write to the ledger")?;
        self.log.committed(&self.connection);
        Ok(())
    }

    /// Moves the log into the file if it is long.
    pub(super) fn move_log_if_due(&mut self) {
        if self.log.is_due()
            && let Err(error) = self.log.move_some(&self.connection)
        {
            tracing::debug!(%error, "the ledger's log stays as it is");
        }
    }

    /// As [`Self::empty_log`], for a ledger that was just opened: what it found in its log reads well but need not be on
    /// the disk, if a sync failed before.
    pub(super) fn settle_log(&mut self) {
        if !self.log.is_empty()
            && let Err(error) = self.empty_log()
        {
            tracing::debug!(reason = chain(&error), "the ledger's log stays as it was found");
        }
    }

    /// Moves the log into the file and empties it.
    pub(super) fn empty_log(&mut self) -> Result<(), StoreError> {
        self.log.empty(&self.connection).doing("checkpoint the ledger")
    }

    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.empty_log()?;
        self.connection.close().map_err(|(_, error)| error).doing("close the ledger")
    }
}

fn apply(connection: &Connection, entry: &Entry, counts: &mut Counts) -> Result<Option<OutboxEvent>, StoreError> {
    Ok(match entry {
        Entry::Record { ticket, key, body, received_unix_ms } => {
            let recorded = record(connection, key, body, *received_unix_ms, counts).doing("record a command")?;
            Some(match recorded {
                Ok(outcome) => OutboxEvent::Recorded { ticket: *ticket, outcome },
                Err(reason) => OutboxEvent::RecordFailed { ticket: *ticket, reason },
            })
        }
        Entry::Note { ticket, key, body } => {
            let result = note(connection, key, body).doing("note how far a command is")?;
            Some(OutboxEvent::CommandNoted { ticket: *ticket, result })
        }
        Entry::Finish { ticket, key, finished_unix_ms, ack } => {
            let outcome = finish(connection, key, *finished_unix_ms, ack.as_ref(), counts).doing("finish a command")?;
            Some(OutboxEvent::Finished { ticket: *ticket, outcome })
        }
        Entry::RemoveAcks(ids) => {
            remove_acks(connection, ids, counts).doing("remove delivered acknowledgements")?;
            None
        }
        Entry::LoadAcks(load) => {
            let (acks, more) = read_acks(connection, load, &BTreeSet::new()).doing("read acknowledgements")?;
            Some(OutboxEvent::AcksLoaded { ticket: load.ticket, acks, more })
        }
        Entry::Put { ticket, name, value } => {
            let put = put(connection, name, value.as_ref(), counts).doing("keep a fact")?;
            Some(match put {
                Ok(()) => OutboxEvent::Stored { ticket: *ticket },
                Err(reason) => OutboxEvent::PutFailed { ticket: *ticket, reason },
            })
        }
        Entry::Prune { finished_before_unix_ms } => {
            let pruned = connection
                .prepare_cached(PRUNE)
                .and_then(|mut prune| prune.execute([finished_before_unix_ms]))
                .doing("forget finished commands")?;
            counts.finished = counts.finished.saturating_sub(pruned as u64);
            None
        }
    })
}

/// The inner error is the reason why a sound ledger refuses.
fn record(
    connection: &Connection,
    key: &str,
    body: &[u8],
    received_unix_ms: i64,
    counts: &mut Counts,
) -> rusqlite::Result<Result<RecordOutcome, String>> {
    if let Some(finished) = find(connection, key)? {
        return Ok(Ok(RecordOutcome::Seen { finished }));
    }
    if counts.unfinished >= u64::from(COMMANDS_UNFINISHED_MAX) {
        return Ok(Err(format!("{COMMANDS_UNFINISHED_MAX} commands are waiting to be finished; no more are taken")));
    }
    if counts.acks >= u64::from(ACKS_UNDELIVERED_MAX) {
        return Ok(Err(format!(
            "{ACKS_UNDELIVERED_MAX} acknowledgements are waiting to be delivered; no command is taken"
        )));
    }
    while counts.finished >= u64::from(COMMANDS_SEEN_MAX) && connection.prepare_cached(FORGET_OLDEST)?.execute([])? > 0
    {
        counts.finished -= 1;
    }
    connection.prepare_cached(INSERT_COMMAND)?.execute(params![key, received_unix_ms, body])?;
    counts.unfinished += 1;
    Ok(Ok(RecordOutcome::New))
}

/// The inner error is the reason why a sound ledger refuses.
fn note(connection: &Connection, key: &str, body: &[u8]) -> rusqlite::Result<Result<(), String>> {
    if connection.prepare_cached(NOTE_COMMAND)?.execute(params![key, body])? > 0 {
        return Ok(Ok(()));
    }
    Ok(Err(match find(connection, key)? {
        Some(_) => "the command is finished already".to_owned(),
        None => "the command was never recorded".to_owned(),
    }))
}

fn finish(
    connection: &Connection,
    key: &str,
    finished_unix_ms: i64,
    ack: Option<&Ack>,
    counts: &mut Counts,
) -> rusqlite::Result<FinishOutcome> {
    match find(connection, key)? {
        None => return Ok(FinishOutcome::Unknown),
        Some(true) => {
            let ack = connection.prepare_cached(FIND_ACK)?.query_row([key], |row| row.get(0)).optional()?;
            return Ok(FinishOutcome::AlreadyFinished { ack: ack.map(AckId) });
        }
        Some(false) => {}
    }
    connection.prepare_cached(FINISH_COMMAND)?.execute(params![key, finished_unix_ms])?;
    counts.unfinished = counts.unfinished.saturating_sub(1);
    counts.finished += 1;
    let Some(ack) = ack else { return Ok(FinishOutcome::Done { ack: None }) };
    let body: &[u8] = &ack.body;
    let id = connection.prepare_cached(INSERT_ACK)?.insert(params![
        key,
        ack.kind,
        ack.link_down,
        ack.created_unix_ms,
        body
    ])?;
    counts.acks += 1;
    Ok(FinishOutcome::Done { ack: Some(AckId(id)) })
}

/// Whether the command is finished, `None` if it was never recorded.
fn find(connection: &Connection, key: &str) -> rusqlite::Result<Option<bool>> {
    connection.prepare_cached(FIND_COMMAND)?.query_row([key], |row| row.get(0)).optional()
}

fn remove_acks(connection: &Connection, ids: &[AckId], counts: &mut Counts) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached(DELETE_ACK)?;
    for id in ids {
        counts.acks = counts.acks.saturating_sub(delete.execute([id.0])? as u64);
    }
    Ok(())
}

fn put(
    connection: &Connection,
    name: &str,
    value: Option<&Bytes>,
    counts: &mut Counts,
) -> rusqlite::Result<Result<(), String>> {
    let deleted = connection.prepare_cached(DELETE_FACT)?.execute([name])? as u64;
    counts.facts = counts.facts.saturating_sub(deleted);
    let Some(value) = value else { return Ok(Ok(())) };
    if counts.facts >= u64::from(FACTS_MAX) {
        return Ok(Err(format!("{FACTS_MAX} facts are kept already; forget one first")));
    }
    let value: &[u8] = value;
    connection.prepare_cached(PUT_FACT)?.execute(params![name, value])?;
    counts.facts += 1;
    Ok(Ok(()))
}

fn read_acks(
    connection: &Connection,
    load: &LoadAcks,
    owed: &BTreeSet<AckId>,
) -> rusqlite::Result<(Vec<StoredAck>, bool)> {
    let rows_max = load.rows_max.clamp(1, LOAD_ROWS_MAX);
    let bytes_max = load.bytes_max.min(LOAD_BYTES_MAX);
    let mut statement = connection.prepare_cached(LOAD_ACKS)?;
    let mut found = statement.query([load.after.0])?;
    let mut acks = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let id = AckId(row.get(0)?);
        if owed.contains(&id) {
            continue;
        }
        let body = row.get_ref(5)?.as_blob()?;
        bytes += body.len();
        if acks.len() == rows_max || (bytes > bytes_max && !acks.is_empty()) {
            return Ok((acks, true));
        }
        acks.push(StoredAck {
            id,
            key: row.get(1)?,
            kind: row.get(2)?,
            link_down: row.get(3)?,
            created_unix_ms: row.get(4)?,
            body: Bytes::copy_from_slice(body),
        });
    }
    Ok((acks, false))
}
