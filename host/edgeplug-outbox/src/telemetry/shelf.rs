//! All segments together: the newest takes rows, the others are emptied or given up, oldest first.
//!
//! What must stay true:
//! - Ids grow over all segments: every id of a segment is above every id of the ones before it.
//! - All files together, logs and their indexes included, never exceed `bytes_max` (see `space.rs`), nor `files_max`.
//! - Rows are given up only for rows that then have room.
//! - What is in a transaction of the newest segment is all of a group but the removals of older rows: those are owed
//!   from the moment they are asked for, and paid after it, one transaction per segment.

use std::time::Instant;

use rusqlite::Transaction;

use crate::{
    backoff::Backoff,
    database::{self, CHECK_BYTES_MAX, Check},
    error::{Doing as _, OpenError, Remedy, StoreError, chain},
    event::{Damaged, LaneState, OutboxEvent, RowId},
    request::Lane,
    telemetry::{
        operation::Operation,
        owed::{Owed, REMOVALS_AT_ONCE, runs},
        page::{LoadRows, Page},
        sealed::Sealed,
        segment::{Dropped, Segment, Settings},
        space::{removal_cost, removals_costing, row_cost},
        tables::{self, LANES, Totals},
    },
    trouble::{Cause, Mend},
};

/// Pages that stay free inside the newest file for rows to come (4 MiB); what is above it goes back to the file system.
const FREE_PAGES_KEPT: u32 = 1_024;
/// Steps of giving pages back in one attempt to make room (16 MiB), so that requests are answered in between.
const SHRINK_STEPS_MAX: usize = 64;
pub(crate) struct Shelf {
    pub(super) settings: Settings,
    pub(super) sealed: Sealed,
    /// The newest segment, `None` while it is being opened again.
    pub(super) active: Option<Segment>,
    pub(super) active_number: u32,
    /// No id at or below it is given out again, whatever becomes of the files.
    pub(super) given_out: RowId,
    pub(super) owed: Owed,
    /// When to try again what a sealed segment owes, after it alone failed.
    owed_retry: Option<Backoff>,
    /// Rows were removed since pages were last given back.
    shrink_due: bool,
    /// What became of segments and is not reported yet.
    pub(super) happened: Vec<OutboxEvent>,
}

/// What an opening found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) live: LaneState,
    pub(crate) alarm: LaneState,
    pub(crate) damaged: Vec<Damaged>,
}

impl Shelf {
    pub(crate) fn open(settings: Settings) -> Result<(Self, Found), OpenError> {
        let layout = &settings.layout;
        layout.create()?;
        let in_directory = |source| OpenError::Directory { path: layout.telemetry_directory(), source };
        for number in layout.segments_named().map_err(in_directory)? {
            database::clear_leftovers(&layout.segment(number)).map_err(in_directory)?;
        }
        let numbers = layout.segments().map_err(in_directory)?;
        let active_number = numbers.last().copied().unwrap_or(1);
        let mut budget = CHECK_BYTES_MAX;
        let mut checks: Vec<(u32, Check)> = numbers
            .iter()
            .rev()
            .map(|number| (*number, Check::within(&mut budget, &layout.segment(*number))))
            .collect();
        checks.reverse();

        let mut found = Found::default();
        let mut shelf = Self {
            sealed: Sealed::new(settings.clone()),
            active: None,
            active_number,
            given_out: RowId::default(),
            owed: Owed::default(),
            owed_retry: None,
            shrink_due: true,
            happened: Vec::new(),
            settings,
        };
        let active_check = checks.pop().map_or(Check::Full, |(_, check)| check);
        for (number, check) in checks {
            match Segment::open_existing(&shelf.settings, number, check)? {
                Ok(segment) => {
                    shelf.given_out = shelf.given_out.max(RowId(segment.totals.last_id));
                    found.add(&shelf.settings, &segment)?;
                    shelf.sealed.adopt(segment);
                }
                Err(damaged) => found.set_aside(damaged),
            }
        }
        found.damaged.extend(shelf.open_active(active_check)?);
        if let Some(segment) = &shelf.active {
            found.add(&shelf.settings, segment)?;
        }
        shelf.fit().map_err(|cause| cause.while_opening(shelf.settings.layout.telemetry_directory()))?;
        Ok((shelf, found))
    }

    pub(crate) fn given_out(&self) -> RowId {
        self.given_out
    }

    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Takes what became of segments.
    pub(crate) fn happened(&mut self) -> Vec<OutboxEvent> {
        std::mem::take(&mut self.happened)
    }

    /// Does all of a group but the removals from older segments in one transaction and says what happened, or nothing of
    /// it. The removals are owed from now on.
    pub(crate) fn transact(&mut self, operations: &[Operation]) -> Result<Vec<OutboxEvent>, Cause> {
        let appended: u64 = operations.iter().flat_map(Operation::appended).map(|row| row_cost(row.body.len())).sum();
        if appended > 0 {
            self.make_room(appended)?;
        }
        let newest_after = self.sealed.last_id();
        let newer = |operation: &Operation| removal_cost(operation.removed().iter().filter(|id| **id > newest_after));
        let removals: u64 = operations.iter().map(newer).sum();
        let Some(active) = &mut self.active else { return Err(Cause::closed()) };
        let transaction = if appended + removals > 0 {
            active.make_log_room(appended + removals)?;
            Some(database::begin(&active.connection).doing("begin a telemetry transaction")?)
        } else {
            None
        };
        // Out of the segment, so that a failure forgets them.
        let (mut totals, mut sizes) = (active.totals, std::mem::take(&mut active.sizes));
        let (mut events, mut committed) = (Vec::with_capacity(operations.len()), Vec::new());
        for operation in operations {
            match operation {
                Operation::Append(rows) => {
                    tables::append(&active.connection, rows, &mut totals, &mut sizes, &mut committed)
                        .doing("store telemetry")?;
                }
                Operation::Remove { ids, .. } => {
                    let mut ids = ids.clone();
                    ids.sort_unstable();
                    let (older, newer) = ids.split_at(ids.partition_point(|id| *id <= newest_after));
                    self.owed.add(older);
                    for run in runs(newer) {
                        for lane in LANES {
                            tables::delete(&active.connection, lane, run, &mut totals, &mut sizes)
                                .doing("remove delivered telemetry")?;
                        }
                    }
                    self.shrink_due = true;
                }
                Operation::Load(load) => {
                    if !committed.is_empty() {
                        events.push(OutboxEvent::Committed { rows: std::mem::take(&mut committed) });
                    }
                    let mut page = Page::new(load);
                    events.push(match self.sealed.load(&mut page, &self.owed, &mut self.happened) {
                        Ok(full) => {
                            let more = full
                                || tables::read(&active.connection, &mut page, &self.owed).doing("read telemetry")?;
                            load.answer(page, more)
                        }
                        Err(cause) => load.failure(cause.reason()),
                    });
                }
                Operation::Drop { .. } => {}
            }
        }
        let is_committed = commit(transaction, &totals)?;
        active.sizes = sizes;
        if is_committed {
            let appended = totals.last_id - active.totals.last_id;
            self.settings.written.rows(appended.unsigned_abs());
            active.committed(totals);
            self.given_out = self.given_out.max(RowId(totals.last_id));
        }
        if !committed.is_empty() {
            events.push(OutboxEvent::Committed { rows: committed });
        }
        Ok(events)
    }

    /// Keeps removals in memory until they are paid.
    pub(crate) fn owe(&mut self, ids: &[RowId]) {
        self.owed.add(ids);
    }

    /// Writes what is owed to sealed segments. An error means that the whole store cannot write; one segment that
    /// alone cannot is tried again later.
    pub(crate) fn pay_sealed(&mut self) -> Result<(), Cause> {
        match self.sealed.pay(&mut self.owed, &mut self.happened) {
            Ok(()) => {
                self.owed_retry = None;
                Ok(())
            }
            Err(cause) => {
                if cause.remedy() == Remedy::Room {
                    return Err(cause);
                }
                self.try_writing()?;
                tracing::warn!(
                    reason = cause.reason(),
                    rows = self.owed.len(),
                    "delivered telemetry cannot be removed from an older segment; trying again"
                );
                let now = Instant::now();
                match &mut self.owed_retry {
                    Some(backoff) => backoff.wait_again(now),
                    none => *none = Some(Backoff::start(now)),
                }
                Ok(())
            }
        }
    }

    /// As [`Self::pay_sealed`], unless it failed a moment ago.
    pub(crate) fn pay_sealed_if_due(&mut self, now: Instant) -> Result<(), Cause> {
        if self.owed_retry_due().is_some_and(|due| due > now) { Ok(()) } else { self.pay_sealed() }
    }

    /// When [`Self::pay_sealed`] wants to be called.
    pub(crate) fn owed_retry_due(&self) -> Option<Instant> {
        self.owed_retry.as_ref().map(Backoff::due)
    }

    /// Reads while nothing can be written.
    pub(crate) fn load_degraded(&mut self, load: &LoadRows, reason: &str) -> OutboxEvent {
        let Some(active) = &self.active else { return load.failure(reason) };
        let mut page = Page::new(load);
        let read = match self.sealed.load(&mut page, &self.owed, &mut self.happened) {
            Ok(true) => Ok(true),
            Ok(false) => {
                tables::read(&active.connection, &mut page, &self.owed).doing("read telemetry").map_err(Cause::from)
            }
            Err(cause) => Err(cause),
        };
        match read {
            Ok(more) => load.answer(page, more),
            Err(cause) => load.failure(cause.reason()),
        }
    }

    /// Gives up every row up to `through`.
    pub(crate) fn drop_through(&mut self, through: RowId) -> Result<Dropped, Cause> {
        let through = through.min(self.given_out);
        let mut dropped = self.sealed.drop_through(through, &mut self.happened)?;
        let Some(active) = &mut self.active else { return Err(Cause::closed()) };
        for lane in LANES {
            while let Some(rows) = active.drop_oldest(lane, through, self.settings.space.transaction_cost_max())? {
                dropped.add(rows);
            }
        }
        self.shrink_due = true;
        self.owed.forget(through);
        Ok(Dropped { through, ..dropped })
    }

    /// Whether [`Self::shrink`] has something to do in an idle moment.
    pub(crate) fn shrink_due(&self) -> bool {
        self.shrink_due
    }

    /// Gives a little of the room of removed rows back to the file system.
    pub(crate) fn shrink(&mut self) -> Result<(), StoreError> {
        self.shrink_due = match &mut self.active {
            Some(active) => {
                // An error is met once, not in every idle moment.
                self.shrink_due = false;
                active.shrink(FREE_PAGES_KEPT)?
            }
            None => false,
        };
        Ok(())
    }

    /// Moves long logs into their files.
    pub(crate) fn move_logs(&mut self) {
        if let Some(active) = &mut self.active
            && active.log_is_due()
            && let Err(error) = active.move_log()
        {
            // The next transaction that finds no room in the log reports it.
            tracing::debug!(reason = chain(&error), "the log stays as it is");
        }
        self.sealed.move_log_if_due();
    }

    pub(crate) fn close(mut self) {
        self.sealed.close_open();
        if let Some(active) = self.active
            && let Err(error) = active.close()
        {
            tracing::warn!(reason = chain(&error), "the telemetry store was not closed tidily; nothing is lost");
        }
    }

    /// Opens the newest segment; it is made if there is none.
    fn open_active(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        self.active = None;
        let path = self.settings.layout.segment(self.active_number);
        let (mut segment, damaged) = Segment::open(&self.settings, self.active_number, check, self.given_out)?;
        if let Some(damaged) = &damaged {
            tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason,
                rows = damaged.rows_lost, "the newest segment of telemetry was damaged; its rows are not sent");
        }
        // Files that were set aside may have given out ids that none of the others knows.
        let by_damaged = RowId(database::ids_given_out_by_damaged(&path));
        self.given_out = self.given_out.max(RowId(segment.totals.last_id)).max(by_damaged);
        segment.totals.last_id = self.given_out.0;
        segment.settle_log();
        self.active = Some(segment);
        Ok(damaged)
    }

    /// Writes what is owed to the newest segment.
    fn pay_active(&mut self) -> Result<(), StoreError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let cost_max = self.settings.space.transaction_cost_max();
        loop {
            let mut ids = self.owed.between(self.sealed.last_id(), RowId(i64::MAX), REMOVALS_AT_ONCE);
            if ids.is_empty() {
                return Ok(());
            }
            ids.truncate(removals_costing(&ids, cost_max));
            active.remove(&ids)?;
            self.owed.paid(&ids);
            self.shrink_due = true;
        }
    }
}

/// Whether there was something to commit.
fn commit(transaction: Option<Transaction<'_>>, totals: &Totals) -> Result<bool, StoreError> {
    let Some(transaction) = transaction else { return Ok(false) };
    totals.write(&transaction).doing("store telemetry totals")?;
    transaction.commit().doing("commit telemetry")?;
    Ok(true)
}

impl Mend for Shelf {
    fn is_open(&self) -> bool {
        self.active.is_some()
    }

    fn reopen(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        self.active = None;
        self.sealed.disconnect();
        self.settings.layout.create()?;
        self.open_active(check)
    }

    fn empty_log(&mut self) -> Result<(), StoreError> {
        self.sealed.close_open();
        self.active.as_mut().map_or(Ok(()), Segment::empty_log)
    }

    fn pay_removals(&mut self) -> Result<(), Cause> {
        self.pay_active()?;
        self.pay_sealed()
    }

    fn give_room_back(&mut self) -> Result<(), StoreError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        for _ in 0..SHRINK_STEPS_MAX {
            if !active.shrink(0)? {
                break;
            }
        }
        active.empty_log()
    }

    fn try_writing(&mut self) -> Result<(), StoreError> {
        self.active.as_mut().map_or(Ok(()), Segment::try_writing)
    }
}

impl Found {
    fn add(&mut self, settings: &Settings, segment: &Segment) -> Result<(), OpenError> {
        for (lane, sum) in [(Lane::Live, &mut self.live), (Lane::Alarm, &mut self.alarm)] {
            let state = segment.lane_state(settings, lane)?;
            sum.rows = sum.rows.saturating_add(state.rows);
            sum.bytes = sum.bytes.saturating_add(state.bytes);
            sum.first = sum.first.or(state.first);
            sum.last = state.last.or(sum.last);
        }
        Ok(())
    }

    fn set_aside(&mut self, damaged: Damaged) {
        tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason, rows = damaged.rows_lost,
            "a segment of telemetry was damaged; its rows are not sent");
        self.damaged.push(damaged);
    }
}
