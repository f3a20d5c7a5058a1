//! Custody of telemetry rows, also while the file cannot be written.
//!
//! While degraded, appends are refused at once, loads still read, and removals are kept in memory, hidden from loads and
//! tried again: first with the next removal, then with every retry. A store heals when a probe of some size commits.

pub(crate) mod store;

use std::{collections::BTreeSet, time::Instant};

use crate::{
    database::Check,
    directory::Layout,
    error::{OpenError, Remedy, SqliteError, StoreError, chain},
    event::{Damaged, LaneState, OutboxEvent, RowId, Store},
    request::{BODY_BYTES_MAX, Lane, NewRow},
    reserve::Reserve,
    trouble::{Cause, Trouble},
};
use store::{LoadRows, Operation, TelemetryStore};

/// Removals kept in memory while the store cannot write (16 bytes each with their tree). Beyond it removals are
/// forgotten and those rows are delivered again after the next start.
const REMOVALS_OWED_MAX: usize = 200_000;

/// Removals written in one transaction.
const REMOVALS_AT_ONCE: usize = 2_000;
/// Pages that stay free inside the file for rows to come (4 MiB); what is above it goes back to the file system.
const FREE_PAGES_KEPT: i64 = 1_024;
/// Steps of giving pages back in one attempt to make room (64 MiB), so that requests are answered in between.
const SHRINK_STEPS_MAX: usize = 64;
/// Room kept back for a full disk: a log at its checkpoint and one group, both of which may have to move into the file.
const RESERVE_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) struct Telemetry {
    layout: Layout,
    reserve: Reserve,
    pages_max: Option<u32>,
    /// `None` while the file is being opened again.
    store: Option<TelemetryStore>,
    /// No id at or below it is given out again, whatever becomes of the file.
    given_out: RowId,
    trouble: Option<Trouble>,
    /// The last removal failed, so removals wait for the retry.
    removals_fail: bool,
    removals_owed: BTreeSet<RowId>,
    /// Rows were removed since pages were last given back.
    shrink_due: bool,
}

impl Telemetry {
    /// Adds to `events` if the store starts degraded.
    pub(crate) fn open(
        layout: &Layout,
        pages_max: Option<u32>,
        events: &mut Vec<OutboxEvent>,
    ) -> Result<(Self, Option<Damaged>), OpenError> {
        let mut telemetry = Self {
            layout: layout.clone(),
            reserve: Reserve::new(layout.telemetry_reserve(), RESERVE_BYTES),
            pages_max,
            store: None,
            given_out: RowId::default(),
            trouble: None,
            removals_fail: false,
            removals_owed: BTreeSet::new(),
            shrink_due: true,
        };
        let damaged = telemetry.open_store(Check::Start)?;
        if let Err(error) = telemetry.reserve.hold() {
            telemetry.trouble = Some(Trouble::begin(Store::Telemetry, Cause::no_reserve(&error), events));
        }
        Ok((telemetry, damaged))
    }

    pub(crate) fn last_row(&self) -> RowId {
        self.given_out
    }

    pub(crate) fn lane_state(&self, lane: Lane) -> Result<LaneState, OpenError> {
        let Some(store) = &self.store else { return Ok(LaneState::default()) };
        store
            .lane_state(lane)
            .map_err(|source| OpenError::Store { file: self.layout.telemetry(), source: SqliteError(source) })
    }

    /// Does a group of requests and adds what happened to `events`.
    pub(crate) fn process(&mut self, mut operations: Vec<Operation>, events: &mut Vec<OutboxEvent>) {
        if operations.is_empty() {
            return;
        }
        refuse_large(&mut operations, events);
        let rows = operations.iter().map(|operation| operation.removed().len() as u64).sum();
        let removal_requests = operations.iter().filter(|operation| matches!(operation, Operation::Remove(_))).count();
        self.shrink_due |= removal_requests > 0;
        match self.transact(&operations) {
            Some(Ok(happened)) => events.extend(happened),
            Some(Err(error)) => {
                self.degrade(&error, events);
                self.process_degraded(operations, events);
            }
            None => self.process_degraded(operations, events),
        }
        if removal_requests > 0 {
            events.push(OutboxEvent::Removed { store: Store::Telemetry, requests: removal_requests, rows });
        }
    }

    /// When [`Self::retry`] wants to be called.
    pub(crate) fn retry_due(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.due())
    }

    /// Tries to write again.
    pub(crate) fn retry(&mut self, now: Instant, events: &mut Vec<OutboxEvent>) {
        let Some(mut trouble) = self.trouble.take() else { return };
        match self.mend(&mut trouble) {
            Ok(()) => events.push(trouble.end()),
            Err(cause) => {
                trouble.goes_on(cause, now);
                self.trouble = Some(trouble);
            }
        }
    }

    /// Whether [`Self::shrink`] has something to do in an idle moment.
    pub(crate) fn shrink_due(&self) -> bool {
        self.shrink_due && self.trouble.is_none()
    }

    /// Gives a little of the room of removed rows back to the file system.
    pub(crate) fn shrink(&mut self, events: &mut Vec<OutboxEvent>) {
        let Some(store) = &self.store else { return };
        match store.shrink(FREE_PAGES_KEPT) {
            Ok(more) => self.shrink_due = more,
            Err(error) => {
                self.shrink_due = false;
                self.degrade(&error, events);
            }
        }
    }

    pub(crate) fn close(mut self) {
        if let Err(error) = self.pay_removals() {
            tracing::warn!(
                reason = chain(&error),
                rows = self.removals_owed.len(),
                "delivered telemetry could not be removed and will be sent again"
            );
        }
        if let Some(store) = self.store
            && let Err(error) = store.close()
        {
            tracing::warn!(reason = chain(&error), "the telemetry store was not closed tidily; nothing is lost");
        }
    }

    /// `None` while degraded.
    fn transact(&mut self, operations: &[Operation]) -> Option<Result<Vec<OutboxEvent>, StoreError>> {
        let store = self.store.as_mut().filter(|_| self.trouble.is_none())?;
        let result = store.transact(operations);
        self.given_out = self.given_out.max(store.last_id());
        Some(result)
    }

    fn process_degraded(&mut self, operations: Vec<Operation>, events: &mut Vec<OutboxEvent>) {
        let reason = self.trouble.as_ref().map_or_else(String::new, |trouble| trouble.cause.reason.clone());
        let mut loads = Vec::new();
        for operation in operations {
            match operation {
                Operation::Append(rows) if rows.is_empty() => {}
                Operation::Append(rows) => events.push(OutboxEvent::AppendFailed {
                    tickets: rows.iter().map(|row| row.ticket).collect(),
                    reason: reason.clone(),
                }),
                Operation::Remove(ids) => self.owe(ids),
                Operation::Load(load) => loads.push(load),
            }
        }
        if !self.removals_fail
            && let Err(error) = self.pay_removals()
        {
            tracing::debug!(reason = chain(&error), "removals wait for the store to heal");
        }
        for load in loads {
            events.push(self.load_degraded(&load, &reason));
        }
    }

    fn mend(&mut self, trouble: &mut Trouble) -> Result<(), Cause> {
        if let Some(check) = trouble.cause.remedy.reopen() {
            self.store = None;
            let damaged = self.open_store(check)?;
            trouble.damaged = damaged.or(trouble.damaged.take());
        }
        if trouble.cause.remedy == Remedy::Room {
            self.make_room();
        }
        self.pay_removals()?;
        if trouble.cause.remedy == Remedy::Room {
            self.shrink_now()?;
            self.reserve.hold().map_err(|error| Cause::no_reserve(&error))?;
        }
        Ok(self.store.as_ref().map_or(Ok(()), TelemetryStore::try_writing)?)
    }

    /// Lets the log go into the file, where no commit may fit the log.
    fn make_room(&self) {
        self.reserve.release();
        if let Some(store) = &self.store
            && let Err(error) = store.checkpoint()
        {
            tracing::debug!(reason = chain(&error), "the log stays as it is");
        }
    }

    /// Gives the room of removed rows back to the file system.
    fn shrink_now(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        for _ in 0..SHRINK_STEPS_MAX {
            if !store.shrink(0)? {
                break;
            }
        }
        store.checkpoint()
    }

    fn load_degraded(&mut self, load: &LoadRows, reason: &str) -> OutboxEvent {
        let failed = |reason: String| OutboxEvent::LoadFailed { ticket: load.ticket, reason };
        let Some(store) = &self.store else { return failed(reason.to_owned()) };
        store.load(load, &self.removals_owed).unwrap_or_else(|error| failed(chain(&error)))
    }

    fn owe(&mut self, ids: Vec<RowId>) {
        for id in ids {
            if self.removals_owed.len() >= REMOVALS_OWED_MAX {
                tracing::warn!(
                    max = REMOVALS_OWED_MAX,
                    "too many delivered rows wait to be removed; the rest will be sent again after a restart"
                );
                return;
            }
            self.removals_owed.insert(id);
        }
    }

    fn pay_removals(&mut self) -> Result<(), StoreError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        while !self.removals_owed.is_empty() {
            let ids: Vec<RowId> = self.removals_owed.iter().take(REMOVALS_AT_ONCE).copied().collect();
            let operations = [Operation::Remove(ids)];
            self.removals_fail = true;
            store.transact(&operations)?;
            self.removals_fail = false;
            self.shrink_due = true;
            for id in operations.iter().flat_map(Operation::removed) {
                self.removals_owed.remove(id);
            }
        }
        Ok(())
    }

    fn open_store(&mut self, check: Check) -> Result<Option<Damaged>, OpenError> {
        self.layout.create()?;
        let path = self.layout.telemetry();
        let (store, damaged) = TelemetryStore::open(&path, check, self.given_out)?;
        if let Some(pages) = self.pages_max {
            store
                .set_pages_max(pages)
                .map_err(|source| OpenError::Store { file: path, source: SqliteError(source) })?;
        }
        if let Some(damaged) = &damaged {
            tracing::error!(set_aside = %damaged.set_aside.display(), reason = damaged.reason,
                "the telemetry store was damaged; its rows are not sent");
        }
        self.given_out = self.given_out.max(store.last_id());
        self.store = Some(store);
        Ok(damaged)
    }

    fn degrade(&mut self, error: &StoreError, events: &mut Vec<OutboxEvent>) {
        self.trouble = Some(Trouble::begin(Store::Telemetry, error.into(), events));
    }
}

/// Takes out rows that are larger than any row may be.
fn refuse_large(operations: &mut [Operation], events: &mut Vec<OutboxEvent>) {
    let large = |row: &NewRow| row.body.len() > BODY_BYTES_MAX;
    for operation in operations {
        if let Operation::Append(rows) = operation {
            let tickets: Vec<u64> = rows.iter().filter(|row| large(row)).map(|row| row.ticket).collect();
            if !tickets.is_empty() {
                rows.retain(|row| !large(row));
                let reason = format!("the body is larger than {BODY_BYTES_MAX} bytes; send less at a time");
                events.push(OutboxEvent::AppendFailed { tickets, reason });
            }
        }
    }
}
