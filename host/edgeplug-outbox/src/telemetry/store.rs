//! The telemetry tables: one per lane, with one row of totals that changes in the same transaction.

use std::{collections::BTreeSet, path::Path};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    database::{self, Check, Schema},
    error::{Doing as _, OpenError, SqliteError, StoreError},
    event::{AppendedRow, Damaged, LaneState, OutboxEvent, RowId, Store, StoredRow},
    request::{LOAD_BYTES_MAX, LOAD_ROWS_MAX, Lane, NewRow},
};

/// The page cache is also how much a transaction may hold before it spills into the log.
const CACHE_KIB: i32 = 1_024;
/// Pages given back at a time, so that a request never waits long for it.
const FREE_PAGES_STEP: i64 = 256;

pub(super) const SCHEMA: Schema = Schema {
    store: Store::Telemetry,
    version: 1,
    create: "
        CREATE TABLE live (
            id INTEGER PRIMARY KEY,
            kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
            link_down INTEGER NOT NULL CHECK (link_down IN (0, 1)),
            created_unix_ms INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE alarm (
            id INTEGER PRIMARY KEY,
            kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
            link_down INTEGER NOT NULL CHECK (link_down IN (0, 1)),
            created_unix_ms INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE totals (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            last_id INTEGER NOT NULL CHECK (last_id >= 0),
            live_rows INTEGER NOT NULL CHECK (live_rows >= 0),
            live_bytes INTEGER NOT NULL CHECK (live_bytes >= 0),
            alarm_rows INTEGER NOT NULL CHECK (alarm_rows >= 0),
            alarm_bytes INTEGER NOT NULL CHECK (alarm_bytes >= 0)
        ) STRICT;
        CREATE TABLE probe (body BLOB NOT NULL) STRICT;
    ",
    seed: "INSERT INTO totals VALUES (1, ?1, 0, 0, 0, 0)",
    probes: &[
        SELECT_TOTALS,
        UPDATE_TOTALS,
        LIVE.insert,
        LIVE.delete,
        LIVE.load,
        ALARM.insert,
        ALARM.delete,
        ALARM.load,
    ],
    cache_kib: CACHE_KIB,
    checkpoint_pages: 1_000,
};

pub(crate) const SELECT_TOTALS: &str =
    "SELECT last_id, live_rows, live_bytes, alarm_rows, alarm_bytes FROM totals WHERE one = 1";
const UPDATE_TOTALS: &str = "UPDATE totals SET last_id = ?1, live_rows = ?2, live_bytes = ?3, alarm_rows = ?4, \
     alarm_bytes = ?5 WHERE one = 1";

struct LaneSql {
    insert: &'static str,
    delete: &'static str,
    load: &'static str,
    ends: &'static str,
}

const LIVE: LaneSql = LaneSql {
    insert: "INSERT INTO live (id, kind, link_down, created_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    delete: "DELETE FROM live WHERE id = ?1 RETURNING length(body)",
    load: "SELECT id, kind, link_down, created_unix_ms, body FROM live WHERE id > ?1 ORDER BY id",
    ends: "SELECT (SELECT min(id) FROM live), (SELECT max(id) FROM live)",
};
const ALARM: LaneSql = LaneSql {
    insert: "INSERT INTO alarm (id, kind, link_down, created_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    delete: "DELETE FROM alarm WHERE id = ?1 RETURNING length(body)",
    load: "SELECT id, kind, link_down, created_unix_ms, body FROM alarm WHERE id > ?1 ORDER BY id",
    ends: "SELECT (SELECT min(id) FROM alarm), (SELECT max(id) FROM alarm)",
};

fn sql(lane: Lane) -> &'static LaneSql {
    match lane {
        Lane::Live => &LIVE,
        Lane::Alarm => &ALARM,
    }
}

/// What a store request may be, in the order it takes effect.
#[derive(Debug)]
pub(crate) enum Operation {
    Append(Vec<NewRow>),
    Remove(Vec<RowId>),
    Load(LoadRows),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRows {
    pub(crate) ticket: u64,
    pub(crate) lane: Lane,
    pub(crate) after: RowId,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// Rows and body bytes of one lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneTotals {
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
}

/// The row of totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) last_id: i64,
    pub(crate) live: LaneTotals,
    pub(crate) alarm: LaneTotals,
}

impl Totals {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(SELECT_TOTALS, [], |row| {
            Ok(Self {
                last_id: row.get(0)?,
                live: LaneTotals { rows: row.get(1)?, bytes: row.get(2)? },
                alarm: LaneTotals { rows: row.get(3)?, bytes: row.get(4)? },
            })
        })
    }

    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { last_id, live, alarm } = self;
        connection
            .prepare_cached(UPDATE_TOTALS)?
            .execute(params![last_id, live.rows, live.bytes, alarm.rows, alarm.bytes])
            .map(|_| ())
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneTotals {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Alarm => &mut self.alarm,
        }
    }
}

/// An open telemetry file.
pub(super) struct TelemetryStore {
    connection: Connection,
    /// As committed.
    totals: Totals,
}

impl TelemetryStore {
    /// No id at or below `given_out` is given out again.
    pub(super) fn open(path: &Path, check: Check, given_out: RowId) -> Result<(Self, Option<Damaged>), OpenError> {
        let opened = database::open(path, &SCHEMA, check)?;
        let failed = |source| OpenError::Store { file: path.to_owned(), source: SqliteError(source) };
        let mut totals = Totals::read(&opened.connection).map_err(failed)?;
        let mut store = Self { connection: opened.connection, totals };
        for lane in [Lane::Live, Lane::Alarm] {
            let last = store.lane_state(lane).map_err(failed)?.last.unwrap_or_default();
            totals.last_id = totals.last_id.max(last.0).max(given_out.0);
        }
        store.totals = totals;
        Ok((store, opened.damaged))
    }

    /// For tests: the file may not grow beyond this many pages.
    pub(super) fn set_pages_max(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    }

    pub(super) fn last_id(&self) -> RowId {
        RowId(self.totals.last_id)
    }

    pub(super) fn lane_state(&self, lane: Lane) -> rusqlite::Result<LaneState> {
        let (first, last): (Option<i64>, Option<i64>) =
            self.connection.query_row(sql(lane).ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut totals = self.totals;
        let LaneTotals { rows, bytes } = *totals.lane(lane);
        Ok(LaneState {
            rows: rows.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
            first: first.map(RowId),
            last: last.map(RowId),
        })
    }

    /// Does all of it in one transaction and says what happened, or nothing of it.
    pub(super) fn transact(&mut self, operations: &[Operation]) -> Result<Vec<OutboxEvent>, StoreError> {
        let writes = operations.iter().any(|operation| !matches!(operation, Operation::Load(_)));
        if !writes {
            return operations
                .iter()
                .filter_map(Operation::as_load)
                .map(|load| self.load(load, &BTreeSet::new()))
                .collect();
        }
        let mut totals = self.totals;
        let mut events = Vec::with_capacity(operations.len());
        let mut committed = Vec::new();
        let transaction = database::begin(&self.connection).doing("begin a telemetry transaction")?;
        for operation in operations {
            match operation {
                Operation::Append(rows) => {
                    append(&transaction, rows, &mut totals, &mut committed).doing("store telemetry")?;
                }
                Operation::Remove(ids) => remove(&transaction, ids, &mut totals).doing("remove delivered telemetry")?,
                Operation::Load(load) => {
                    if !committed.is_empty() {
                        events.push(OutboxEvent::Committed { rows: std::mem::take(&mut committed) });
                    }
                    events.push(self.load(load, &BTreeSet::new())?);
                }
            }
        }
        totals.write(&transaction).doing("store telemetry totals")?;
        transaction.commit().doing("commit telemetry")?;
        self.totals = totals;
        if !committed.is_empty() {
            events.push(OutboxEvent::Committed { rows: committed });
        }
        Ok(events)
    }

    /// Reads rows, leaving out those whose removal is still owed.
    pub(super) fn load(&self, load: &LoadRows, owed: &BTreeSet<RowId>) -> Result<OutboxEvent, StoreError> {
        let (rows, more) = self.read(load, owed).doing("read telemetry")?;
        Ok(OutboxEvent::Loaded { ticket: load.ticket, lane: load.lane, rows, more })
    }

    pub(super) fn try_writing(&self) -> Result<(), StoreError> {
        database::try_writing(&self.connection).doing("write to the telemetry store")
    }

    /// Gives some free pages back to the file system; `true` while there are more.
    pub(super) fn shrink(&self, pages_kept: i64) -> Result<bool, StoreError> {
        let free: i64 = self
            .connection
            .pragma_query_value(None, "freelist_count", |row| row.get(0))
            .doing("count free telemetry pages")?;
        let step = (free - pages_kept).min(FREE_PAGES_STEP);
        if step <= 0 {
            return Ok(false);
        }
        let mut vacuum = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({step})"))
            .doing("give back free telemetry pages")?;
        // Each step of the statement frees one page.
        let mut rows = vacuum.query([]).doing("give back free telemetry pages")?;
        while rows.next().doing("give back free telemetry pages")?.is_some() {}
        Ok(free - step > pages_kept)
    }

    /// Moves the log into the file and empties it.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        database::checkpoint(&self.connection).doing("checkpoint the telemetry store")
    }

    pub(super) fn close(self) -> Result<(), StoreError> {
        self.checkpoint()?;
        self.connection.close().map_err(|(_, error)| error).doing("close the telemetry store")
    }

    fn read(&self, load: &LoadRows, owed: &BTreeSet<RowId>) -> rusqlite::Result<(Vec<StoredRow>, bool)> {
        let rows_max = load.rows_max.clamp(1, LOAD_ROWS_MAX);
        let bytes_max = load.bytes_max.min(LOAD_BYTES_MAX);
        let mut statement = self.connection.prepare_cached(sql(load.lane).load)?;
        let mut found = statement.query([load.after.0])?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let id = RowId(row.get(0)?);
            if owed.contains(&id) {
                continue;
            }
            let body = row.get_ref(4)?.as_blob()?;
            bytes += body.len();
            if rows.len() == rows_max || (bytes > bytes_max && !rows.is_empty()) {
                return Ok((rows, true));
            }
            rows.push(StoredRow {
                id,
                lane: load.lane,
                kind: row.get(1)?,
                link_down: row.get(2)?,
                created_unix_ms: row.get(3)?,
                body: Bytes::copy_from_slice(body),
            });
        }
        Ok((rows, false))
    }
}

impl Operation {
    pub(crate) fn removed(&self) -> &[RowId] {
        match self {
            Self::Remove(ids) => ids,
            Self::Append(_) | Self::Load(_) => &[],
        }
    }

    fn as_load(&self) -> Option<&LoadRows> {
        match self {
            Self::Load(load) => Some(load),
            Self::Append(_) | Self::Remove(_) => None,
        }
    }
}

fn append(
    connection: &Connection,
    rows: &[NewRow],
    totals: &mut Totals,
    committed: &mut Vec<AppendedRow>,
) -> rusqlite::Result<()> {
    for row in rows {
        let id = totals.last_id + 1;
        let body: &[u8] = &row.body;
        connection.prepare_cached(sql(row.lane).insert)?.execute(params![
            id,
            row.kind,
            row.link_down,
            row.created_unix_ms,
            body
        ])?;
        totals.last_id = id;
        let lane = totals.lane(row.lane);
        lane.rows += 1;
        lane.bytes = lane.bytes.saturating_add_unsigned(body.len() as u64);
        committed.push(AppendedRow { ticket: row.ticket, id: RowId(id) });
    }
    Ok(())
}

fn remove(connection: &Connection, ids: &[RowId], totals: &mut Totals) -> rusqlite::Result<()> {
    for id in ids {
        for lane in [Lane::Live, Lane::Alarm] {
            let removed: Option<i64> =
                connection.prepare_cached(sql(lane).delete)?.query_row([id.0], |row| row.get(0)).optional()?;
            if let Some(bytes) = removed {
                let lane = totals.lane(lane);
                // A store that was written to by hand may hold rows that its totals do not know.
                lane.rows = (lane.rows - 1).max(0);
                lane.bytes = (lane.bytes - bytes).max(0);
                break;
            }
        }
    }
    Ok(())
}
