//! One open segment: a file, its totals, its log, and how much room is left in it.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use crate::{
    database::{self, Check, Opening},
    directory::Layout,
    error::{Doing as _, OpenError, SqliteError, StoreError, chain},
    event::{Damaged, LaneState, RowId},
    log::Log,
    outbox::Durability,
    request::Lane,
    telemetry::{
        owed::runs,
        sizes::Sizes,
        space::{self, Space},
        tables::{self, LANES, SCHEMA, Totals},
    },
    written::Counters,
};

/// Pages given back at a time, so that a request never waits long for it.
const FREE_PAGES_STEP: u32 = 64;
/// Pages that giving back one page may touch: its new place, what points to it, pointer maps.
const PAGES_PER_FREE_PAGE: u32 = 4;
/// Room that must be free before a store counts as healed: what a busy group of small rows needs.
const PROBE_BYTES: u32 = 64 * 1024;

/// What all segments have in common.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) layout: Layout,
    pub(crate) space: Space,
    pub(crate) durability: Durability,
    pub(crate) pages_max_for_tests: Option<u32>,
    pub(crate) written: Arc<Counters>,
}

pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) connection: Connection,
    /// As committed.
    pub(crate) totals: Totals,
    /// Of rows that are committed.
    pub(crate) sizes: Sizes,
    log: Log,
    space: Space,
    /// Pages of the file once its log has been moved into it.
    pages: u32,
    /// Of them, those that hold nothing.
    pages_free: u32,
}

/// Rows that are gone without having been removed by name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) through: RowId,
}

impl Dropped {
    pub(crate) fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.through = self.through.max(other.through);
    }
}

impl Segment {
    /// Opens or makes the segment. A damaged one is set aside and a fresh one takes its place.
    pub(crate) fn open(
        settings: &Settings,
        number: u32,
        check: Check,
        given_out: RowId,
    ) -> Result<(Self, Option<Damaged>), OpenError> {
        let path = settings.layout.segment(number);
        let opened = database::open(&path, &SCHEMA, opening(settings, check, given_out))?;
        Ok((Self::take_up(settings, number, &path, opened.connection)?, opened.damaged))
    }

    /// As [`Self::open`], but nothing takes the place of a damaged one.
    pub(crate) fn open_existing(
        settings: &Settings,
        number: u32,
        check: Check,
    ) -> Result<Result<Self, Damaged>, OpenError> {
        let path = settings.layout.segment(number);
        match database::open_existing(&path, &SCHEMA, opening(settings, check, RowId::default()))? {
            Ok(connection) => Ok(Ok(Self::take_up(settings, number, &path, connection)?)),
            Err(damaged) => Ok(Err(damaged)),
        }
    }

    /// Checks all of a segment that is not open and sets it aside if it is damaged.
    pub(crate) fn check(settings: &Settings, number: u32) -> Result<Option<Damaged>, OpenError> {
        let path = settings.layout.segment(number);
        database::open_existing(&path, &SCHEMA, opening(settings, Check::Full, RowId::default())).map(Result::err)
    }

    fn take_up(settings: &Settings, number: u32, path: &Path, connection: Connection) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Store { file: path.to_owned(), source: SqliteError(source) };
        let totals = Totals::trusted(&connection).map_err(failed)?;
        let log = Log::open(&connection, settings.space.log, Arc::clone(&settings.written)).map_err(failed)?;
        let mut segment = Self {
            number,
            connection,
            totals,
            sizes: Sizes::default(),
            log,
            space: settings.space,
            pages: 0,
            pages_free: 0,
        };
        segment.look_at_pages().map_err(failed)?;
        let pages_max = settings.space.segment_pages_max.min(settings.pages_max_for_tests.unwrap_or(u32::MAX));
        segment.limit_pages(pages_max).map_err(failed)?;
        Ok(segment)
    }

    pub(crate) fn lane_state(&self, settings: &Settings, lane: Lane) -> Result<LaneState, OpenError> {
        tables::lane_state(&self.connection, lane, &self.totals).map_err(|source| OpenError::Store {
            file: settings.layout.segment(self.number),
            source: SqliteError(source),
        })
    }

    /// Bytes of the file once its log has been moved into it.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.pages) * database::PAGE_BYTES
    }

    /// Pages that rows may still take.
    pub(crate) fn room(&self) -> u32 {
        self.space.segment_pages_max.saturating_sub(self.pages).saturating_add(self.pages_free)
    }

    /// Makes sure that the log can hold a transaction of such a cost.
    pub(crate) fn make_log_room(&mut self, cost: u64) -> Result<(), StoreError> {
        self.log.make_room(&self.connection, space::pages(cost)).doing("make room in the log")
    }

    /// Notes what a transaction on [`Self::connection`] has committed.
    pub(crate) fn committed(&mut self, totals: Totals) {
        self.totals = totals;
        self.log.committed(&self.connection);
        if let Err(error) = self.look_at_pages() {
            // The next transaction that needs room will meet the same.
            tracing::debug!(%error, "cannot see how much room the segment has");
        }
    }

    /// Removes rows in one transaction; `ids` ascend. Those that are not here are ignored.
    pub(crate) fn remove(&mut self, ids: &[RowId]) -> Result<(), StoreError> {
        self.make_log_room(space::removal_cost(ids))?;
        let doing = "remove delivered telemetry";
        let (mut totals, mut sizes) = (self.totals, std::mem::take(&mut self.sizes));
        let transaction = database::begin(&self.connection).doing(doing)?;
        for run in runs(ids) {
            for lane in LANES {
                tables::delete(&transaction, lane, run, &mut totals, &mut sizes).doing(doing)?;
            }
        }
        totals.write(&transaction).doing(doing)?;
        transaction.commit().doing(doing)?;
        self.sizes = sizes;
        self.committed(totals);
        Ok(())
    }

    /// Gives up the oldest rows of one lane, none above `through`, at most `cost` of them, in one transaction. `None` if
    /// there are none.
    pub(crate) fn drop_oldest(&mut self, lane: Lane, through: RowId, cost: u64) -> Result<Option<Dropped>, StoreError> {
        if self.totals.lane(lane).rows == 0 {
            return Ok(None);
        }
        let doing = "give up the oldest telemetry";
        self.make_log_room(cost)?;
        let mut totals = self.totals;
        self.sizes = Sizes::default();
        let transaction = database::begin(&self.connection).doing(doing)?;
        let Some(last) = tables::oldest_costing(&transaction, lane, through.0, cost).doing(doing)? else {
            return Ok(None);
        };
        let run = (i64::MIN, last);
        let (rows, bytes) = tables::delete(&transaction, lane, run, &mut totals, &mut self.sizes).doing(doing)?;
        totals.write(&transaction).doing(doing)?;
        transaction.commit().doing(doing)?;
        self.committed(totals);
        Ok(Some(Dropped { rows, bytes, through: RowId(last) }))
    }

    /// The totals, checked against the tables if they say that nothing is left: a segment is deleted for it.
    pub(crate) fn what_is_left(&mut self) -> Result<Totals, StoreError> {
        if self.totals.rows() == 0 {
            self.totals = Totals::trusted(&self.connection).doing("read telemetry totals")?;
        }
        Ok(self.totals)
    }

    /// Pages above what the segment may have; after the operator lowered the limits.
    pub(crate) fn pages_above_limit(&self) -> u32 {
        self.pages.saturating_sub(self.space.segment_pages_max)
    }

    pub(crate) fn pages_free(&self) -> u32 {
        self.pages_free
    }

    /// Gives some free pages back to the file system, but keeps some; `true` while there are more.
    pub(crate) fn shrink(&mut self, pages_kept: u32) -> Result<bool, StoreError> {
        let doing = "give back free telemetry pages";
        let step_max = FREE_PAGES_STEP.min(self.space.log.frames_max / (2 * PAGES_PER_FREE_PAGE));
        let step = self.pages_free.saturating_sub(pages_kept).min(step_max);
        if step == 0 {
            return Ok(false);
        }
        self.make_log_room(u64::from(step * PAGES_PER_FREE_PAGE) * database::PAGE_BYTES)?;
        {
            let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({step})")).doing(doing)?;
            // Each step of the statement frees one page.
            let mut rows = vacuum.query([]).doing(doing)?;
            while rows.next().doing(doing)?.is_some() {}
        }
        let before = self.pages_free;
        self.committed(self.totals);
        Ok(self.pages_free > pages_kept && self.pages_free < before)
    }

    /// Whether the log is long enough to be moved.
    pub(crate) fn log_is_due(&self) -> bool {
        self.log.is_due()
    }

    /// Moves the log into the file as far as nobody is in the way.
    pub(crate) fn move_log(&mut self) -> Result<(), StoreError> {
        self.log.move_some(&self.connection).doing("move the log into the telemetry store")
    }

    /// Moves all of the log into the file and empties it.
    pub(crate) fn empty_log(&mut self) -> Result<(), StoreError> {
        self.log.empty(&self.connection).doing("checkpoint the telemetry store")
    }

    /// As [`Self::empty_log`], for a file that was just opened: what it found in its log reads well but need not be on the
    /// disk, if a sync failed before. Where it cannot be moved now, nothing is worse than before.
    pub(crate) fn settle_log(&mut self) {
        if !self.log.is_empty()
            && let Err(error) = self.empty_log()
        {
            tracing::debug!(reason = chain(&error), "the log stays as it was found");
        }
    }

    /// Commits and takes back as much as a busy group needs, or as the segment has room for.
    pub(crate) fn try_writing(&mut self) -> Result<(), StoreError> {
        let room = self.room().saturating_sub(2).saturating_mul(database::PAGE_BYTES as u32);
        self.make_log_room(2 * u64::from(PROBE_BYTES))?;
        database::try_writing(&self.connection, PROBE_BYTES.min(room)).doing("write to the telemetry store")?;
        self.committed(self.totals);
        Ok(())
    }

    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        self.empty_log()?;
        self.connection.close().map_err(|(_, error)| error).doing("close the telemetry store")
    }

    /// The file may not grow beyond this many pages, whatever the arithmetic of room says.
    fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    }

    fn look_at_pages(&mut self) -> rusqlite::Result<()> {
        let number = |sql| self.connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u32>(0));
        (self.pages, self.pages_free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        Ok(())
    }
}

fn opening(settings: &Settings, check: Check, given_out: RowId) -> Opening {
    Opening { check, durability: settings.durability, given_out: given_out.0 }
}
