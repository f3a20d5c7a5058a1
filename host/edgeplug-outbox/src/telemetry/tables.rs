//! The tables of a segment: one per lane, with one row of totals that changes in the same transaction.

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use crate::{
    database::{self, Check, Schema},
    event::{AppendedRow, LaneState, RowId, Store, StoredRow},
    request::{BODY_BYTES_MAX, Lane, NewRow},
    telemetry::{
        owed::Owed,
        page::{LoadRows, Page},
        sizes::Sizes,
        space::row_cost,
    },
};

pub(crate) const SCHEMA: Schema = Schema {
    store: Store::Telemetry,
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
    upgrades: &[],
    probes: &[
        SELECT_TOTALS,
        UPDATE_TOTALS,
        LIVE.insert,
        LIVE.body_bytes,
        LIVE.delete,
        LIVE.load,
        LIVE.ends,
        ALARM.insert,
        ALARM.body_bytes,
        ALARM.delete,
        ALARM.load,
        ALARM.ends,
    ],
    verify,
    rows: "SELECT live_rows + alarm_rows FROM totals WHERE one = 1",
    cache_kib: CACHE_KIB,
};

/// The page cache is also how much a transaction may hold before it spills into the log.
const CACHE_KIB: i32 = 1_024;

const SELECT_TOTALS: &str = "SELECT last_id, live_rows, live_bytes, alarm_rows, alarm_bytes FROM totals WHERE one = 1";
const UPDATE_TOTALS: &str = "UPDATE totals SET last_id = ?1, live_rows = ?2, live_bytes = ?3, alarm_rows = ?4, \
     alarm_bytes = ?5 WHERE one = 1";

const OVERSIZED: &str = "SELECT EXISTS (SELECT 1 FROM live WHERE length(body) > ?1) \
     OR EXISTS (SELECT 1 FROM alarm WHERE length(body) > ?1)";

fn verify(connection: &Connection, check: Check) -> rusqlite::Result<()> {
    Totals::trusted(connection)?;
    if check == Check::Full && connection.query_row(OVERSIZED, [BODY_BYTES_MAX as i64], |row| row.get(0))? {
        return Err(database::hostile("a body is larger than any that is taken"));
    }
    Ok(())
}

struct LaneSql {
    insert: &'static str,
    body_bytes: &'static str,
    delete: &'static str,
    load: &'static str,
    lengths: &'static str,
    ends: &'static str,
    count: &'static str,
}

const LIVE: LaneSql = LaneSql {
    insert: "INSERT INTO live (id, kind, link_down, created_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    body_bytes: "SELECT sum(length(body)) FROM live WHERE id BETWEEN ?1 AND ?2",
    delete: "DELETE FROM live WHERE id BETWEEN ?1 AND ?2",
    load: "SELECT id, kind, link_down, created_unix_ms, CASE WHEN length(body) <= ?2 THEN body END FROM live \
         WHERE id > ?1 ORDER BY id",
    lengths: "SELECT id, length(body) FROM live WHERE id <= ?1 ORDER BY id",
    ends: "SELECT (SELECT min(id) FROM live), (SELECT max(id) FROM live)",
    count: "SELECT count(*), ifnull(sum(length(body)), 0) FROM live",
};
const ALARM: LaneSql = LaneSql {
    insert: "INSERT INTO alarm (id, kind, link_down, created_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    body_bytes: "SELECT sum(length(body)) FROM alarm WHERE id BETWEEN ?1 AND ?2",
    delete: "DELETE FROM alarm WHERE id BETWEEN ?1 AND ?2",
    load: "SELECT id, kind, link_down, created_unix_ms, CASE WHEN length(body) <= ?2 THEN body END FROM alarm \
         WHERE id > ?1 ORDER BY id",
    lengths: "SELECT id, length(body) FROM alarm WHERE id <= ?1 ORDER BY id",
    ends: "SELECT (SELECT min(id) FROM alarm), (SELECT max(id) FROM alarm)",
    count: "SELECT count(*), ifnull(sum(length(body)), 0) FROM alarm",
};

fn sql(lane: Lane) -> &'static LaneSql {
    match lane {
        Lane::Live => &LIVE,
        Lane::Alarm => &ALARM,
    }
}

/// The order in which rows are given up where one file holds everything.
pub(crate) const LANES: [Lane; 2] = [Lane::Live, Lane::Alarm];

/// No file of ours holds a higher id: that would take longer than there are disks.
const ID_MAX: i64 = i64::MAX - (1 << 40);

/// Rows and body bytes of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneTotals {
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
}

/// The row of totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// The highest id given out when the segment was the newest, also of rows that are gone.
    pub(crate) last_id: i64,
    pub(crate) live: LaneTotals,
    pub(crate) alarm: LaneTotals,
}

impl Totals {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached(SELECT_TOTALS)?.query_row([], |row| {
            Ok(Self {
                last_id: row.get(0)?,
                live: LaneTotals { rows: row.get(1)?, bytes: row.get(2)? },
                alarm: LaneTotals { rows: row.get(3)?, bytes: row.get(4)? },
            })
        })
    }

    /// The totals, counted again where a hand has emptied or filled the tables behind their back or written what cannot
    /// be, and with an id that no row is above.
    pub(crate) fn trusted(connection: &Connection) -> rusqlite::Result<Self> {
        let mut totals = Self::read(connection)?;
        let mut ends = [None; LANES.len()];
        for (lane, end) in LANES.into_iter().zip(&mut ends) {
            *end = lane_state(connection, lane, &totals)?.last;
            totals.last_id = totals.last_id.max(end.unwrap_or_default().0);
        }
        if !(0..=ID_MAX).contains(&totals.last_id) {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, totals.last_id));
        }
        for (lane, end) in LANES.into_iter().zip(ends) {
            let LaneTotals { rows, bytes } = totals.lane(lane);
            let plausible = rows <= totals.last_id && bytes <= rows.saturating_mul(BODY_BYTES_MAX as i64);
            if end.is_some() != (rows > 0) || !plausible {
                *totals.lane_mut(lane) = count(connection, lane)?;
            }
        }
        Ok(totals)
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { last_id, live, alarm } = self;
        connection
            .prepare_cached(UPDATE_TOTALS)?
            .execute(params![last_id, live.rows, live.bytes, alarm.rows, alarm.bytes])
            .map(|_| ())
    }

    pub(crate) fn lane(&self, lane: Lane) -> LaneTotals {
        match lane {
            Lane::Live => self.live,
            Lane::Alarm => self.alarm,
        }
    }

    pub(crate) fn lane_mut(&mut self, lane: Lane) -> &mut LaneTotals {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Alarm => &mut self.alarm,
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.live.rows.unsigned_abs().saturating_add(self.alarm.rows.unsigned_abs())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.live.bytes.unsigned_abs().saturating_add(self.alarm.bytes.unsigned_abs())
    }
}

/// Stores rows one after the other. What a row has in common with the one before it stays bound.
struct Insert<'c> {
    statement: CachedStatement<'c>,
    /// Kind, link down, created: as bound.
    bound: Option<(u8, bool, i64)>,
}

impl Insert<'_> {
    fn execute(&mut self, id: i64, row: &NewRow) -> rusqlite::Result<()> {
        let common = (row.kind, row.link_down, row.created_unix_ms);
        if self.bound != Some(common) {
            self.bound = None;
            self.statement.raw_bind_parameter(2, row.kind)?;
            self.statement.raw_bind_parameter(3, row.link_down)?;
            self.statement.raw_bind_parameter(4, row.created_unix_ms)?;
            self.bound = Some(common);
        }
        self.statement.raw_bind_parameter(1, id)?;
        let body: &[u8] = &row.body;
        self.statement.raw_bind_parameter(5, body)?;
        self.statement.raw_execute().map(|_| ())
    }
}

/// Stores rows, in order, under the ids that follow the last one.
pub(crate) fn append(
    connection: &Connection,
    rows: &[NewRow],
    totals: &mut Totals,
    sizes: &mut Sizes,
    committed: &mut Vec<AppendedRow>,
) -> rusqlite::Result<()> {
    let mut inserts: [Option<Insert<'_>>; 2] = [None, None];
    let [live, alarm] = &mut inserts;
    committed.reserve(rows.len());
    for row in rows {
        let slot = match row.lane {
            Lane::Live => &mut *live,
            Lane::Alarm => &mut *alarm,
        };
        let insert = match slot {
            Some(insert) => insert,
            None => slot.insert(Insert { statement: connection.prepare_cached(sql(row.lane).insert)?, bound: None }),
        };
        let id = totals.last_id + 1;
        let body: &[u8] = &row.body;
        insert.execute(id, row)?;
        totals.last_id = id;
        let lane = totals.lane_mut(row.lane);
        lane.rows += 1;
        lane.bytes = lane.bytes.saturating_add_unsigned(body.len() as u64);
        sizes.add(id, row.lane, body.len() as i64);
        committed.push(AppendedRow { ticket: row.ticket, id: RowId(id) });
    }
    Ok(())
}

/// Deletes the rows of one lane whose ids lie in the range, ends included. Says how many, and the bytes of their bodies.
pub(crate) fn delete(
    connection: &Connection,
    lane: Lane,
    (first, last): (i64, i64),
    totals: &mut Totals,
    sizes: &mut Sizes,
) -> rusqlite::Result<(u64, u64)> {
    let totals = totals.lane_mut(lane);
    if totals.rows == 0 {
        return Ok((0, 0));
    }
    let sql = sql(lane);
    let bytes = match sizes.take(lane, (first, last)) {
        Some(bytes) => Some(bytes),
        // Not by RETURNING, which costs twice as much as both statements.
        None => connection.prepare_cached(sql.body_bytes)?.query_row([first, last], |row| row.get(0))?,
    };
    let Some(bytes) = bytes else { return Ok((0, 0)) };
    let rows = connection.prepare_cached(sql.delete)?.execute([first, last])? as u64;
    // A store that was written to by hand may hold rows that its totals do not know.
    totals.rows = totals.rows.saturating_sub_unsigned(rows).max(0);
    totals.bytes = (totals.bytes - bytes).max(0);
    Ok((rows, bytes.unsigned_abs()))
}

/// The id up to which the oldest rows of a lane cost at most `cost` (by [`row_cost`]), none above `through`; at least one
/// row where there is one.
pub(crate) fn oldest_costing(
    connection: &Connection,
    lane: Lane,
    through: i64,
    cost_max: u64,
) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(sql(lane).lengths)?;
    let mut found = statement.query([through])?;
    let (mut last, mut cost) = (None, 0);
    while let Some(row) = found.next()? {
        let bytes: i64 = row.get(1)?;
        cost += row_cost(usize::try_from(bytes).unwrap_or(0));
        if cost > cost_max && last.is_some() {
            break;
        }
        last = Some(row.get(0)?);
    }
    Ok(last)
}

/// Adds rows to a page, leaving out those whose removal is owed. Says whether the page is full.
pub(crate) fn read(connection: &Connection, page: &mut Page, owed: &Owed) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(sql(page.lane).load)?;
    let mut found = statement.query([page.after.0, BODY_BYTES_MAX as i64])?;
    while let Some(row) = found.next()? {
        let id = RowId(row.get(0)?);
        if owed.contains(id) {
            continue;
        }
        // A larger body than any that was taken comes as NULL, so that it never fills the memory.
        let body = row.get_ref(4)?.as_blob()?;
        if !page.has_room_for(body.len()) {
            return Ok(true);
        }
        page.push(StoredRow {
            id,
            lane: page.lane,
            kind: row.get(1)?,
            link_down: row.get(2)?,
            created_unix_ms: row.get(3)?,
            body: Bytes::copy_from_slice(body),
        });
    }
    Ok(false)
}

/// Reads rows of several lanes in id order.
pub(crate) fn read_lanes(
    connection: &Connection,
    lanes: &[Lane],
    after: RowId,
    rows_max: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<StoredRow>> {
    let mut rows = Vec::new();
    for lane in LANES.into_iter().filter(|lane| lanes.contains(lane)) {
        let load = LoadRows { ticket: 0, lane, after, rows_max, bytes_max };
        let mut page = Page::new(&load);
        let more = read(connection, &mut page, &Owed::default())?;
        // Beyond the end of an unfinished page another lane must not run ahead.
        rows.push((page.rows, if more { page.after } else { RowId(i64::MAX) }));
    }
    let end = rows.iter().map(|(_, end)| *end).min().unwrap_or_default();
    let mut rows: Vec<StoredRow> = rows.into_iter().flat_map(|(rows, _)| rows).filter(|row| row.id <= end).collect();
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

/// When a row was created.
pub(crate) fn created(connection: &Connection, id: RowId) -> rusqlite::Result<Option<i64>> {
    let sql =
        "SELECT created_unix_ms FROM live WHERE id = ?1 UNION ALL SELECT created_unix_ms FROM alarm WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id.0], |row| row.get(0)).optional()
}

pub(crate) fn lane_state(connection: &Connection, lane: Lane, totals: &Totals) -> rusqlite::Result<LaneState> {
    let (first, last): (Option<i64>, Option<i64>) =
        connection.prepare_cached(sql(lane).ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let LaneTotals { rows, bytes } = totals.lane(lane);
    Ok(LaneState {
        rows: rows.unsigned_abs(),
        bytes: bytes.unsigned_abs(),
        first: first.map(RowId),
        last: last.map(RowId),
    })
}

/// Counts a lane row by row.
fn count(connection: &Connection, lane: Lane) -> rusqlite::Result<LaneTotals> {
    connection
        .prepare_cached(sql(lane).count)?
        .query_row([], |row| Ok(LaneTotals { rows: row.get(0)?, bytes: row.get(1)? }))
}
