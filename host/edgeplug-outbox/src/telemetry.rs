//! Custody of telemetry rows, also while the files cannot be written.
//!
//! While degraded, appends are refused at once, loads still read, and removals are kept in memory, hidden from loads and
//! tried again: first with the next removal, then with every retry. A store heals when a probe of some size commits.

mod operation;
mod owed;
mod page;
mod room;
mod sealed;
pub(crate) mod segment;
pub(crate) mod shelf;
mod sizes;
pub(crate) mod space;
pub(crate) mod tables;

use std::time::Instant;

use crate::{
    error::OpenError,
    event::{Eviction, OutboxEvent, RowId, Store},
    reserve::Reserve,
    trouble::{Health, Mend as _},
};
pub(crate) use operation::Operation;
pub(crate) use page::LoadRows;
use segment::Settings;
use shelf::Found;
pub(crate) use shelf::Shelf;
use space::Space;

pub(crate) struct Telemetry {
    space: Space,
    shelf: Shelf,
    health: Health,
    /// The last removal failed, so removals wait for the retry.
    removals_fail: bool,
    /// Ids named in removals that are not reported yet, because the last of them has a further part to come.
    rows_removed: u64,
}

impl Telemetry {
    /// Adds to `events` if the store starts degraded or gave rows up.
    pub(crate) fn open(settings: Settings, events: &mut Vec<OutboxEvent>) -> Result<(Self, Found), OpenError> {
        let space = settings.space;
        let reserve = Reserve::new(settings.layout.telemetry_reserve(), space.log_bytes_max);
        let (mut shelf, found) = Shelf::open(settings)?;
        events.extend(shelf.happened());
        let health = Health::begin(Store::Telemetry, reserve, events);
        Ok((Self { space, shelf, health, removals_fail: false, rows_removed: 0 }, found))
    }

    pub(crate) fn last_row(&self) -> RowId {
        self.shelf.given_out()
    }

    /// Does a group of requests and adds what happened to `events`.
    pub(crate) fn process(&mut self, mut operations: Vec<Operation>, events: &mut Vec<OutboxEvent>) {
        if operations.is_empty() {
            return;
        }
        self.refuse_large(&mut operations, events);
        self.rows_removed += operations.iter().map(|operation| operation.removed().len() as u64).sum::<u64>();
        let requests = operations.iter().filter(|operation| operation.ends_a_removal()).count();
        let reason = self.health.reason().map(str::to_owned);
        match reason {
            Some(reason) => self.process_degraded(&operations, &reason, events),
            None => self.process_well(&operations, events),
        }
        if requests > 0 {
            let rows = std::mem::take(&mut self.rows_removed);
            events.push(OutboxEvent::Removed { store: Store::Telemetry, requests, rows });
        }
    }

    /// When [`Self::retry`] wants to be called.
    pub(crate) fn retry_due(&self) -> Option<Instant> {
        self.health.retry_due().or(self.shelf.owed_retry_due())
    }

    /// Tries to write again.
    pub(crate) fn retry(&mut self, now: Instant, events: &mut Vec<OutboxEvent>) {
        if self.health.reason().is_none() {
            if let Err(cause) = self.shelf.pay_sealed() {
                self.health.degrade(cause, events);
            }
        } else {
            self.health.retry(&mut self.shelf, now, events);
            self.removals_fail = self.health.reason().is_some();
        }
        events.extend(self.shelf.happened());
    }

    /// Whether [`Self::shrink`] has something to do in an idle moment.
    pub(crate) fn shrink_due(&self) -> bool {
        self.shelf.shrink_due() && self.health.reason().is_none()
    }

    /// Gives a little of the room of removed rows back to the file system.
    pub(crate) fn shrink(&mut self, events: &mut Vec<OutboxEvent>) {
        if let Err(error) = self.shelf.shrink() {
            self.health.degrade(error.into(), events);
        }
    }

    /// Moves long logs into their files, when what they hold has been reported.
    pub(crate) fn move_logs(&mut self) {
        self.shelf.move_logs();
    }

    pub(crate) fn close(mut self) {
        if let Err(cause) = self.shelf.pay_removals() {
            tracing::warn!(
                reason = cause.reason(),
                rows = self.shelf.owed(),
                "delivered telemetry could not be removed and will be sent again"
            );
        }
        self.shelf.close();
    }

    fn process_well(&mut self, operations: &[Operation], events: &mut Vec<OutboxEvent>) {
        let happened = self.shelf.transact(operations);
        events.extend(self.shelf.happened());
        match happened {
            Ok(happened) => events.extend(happened),
            Err(cause) => {
                let reason = cause.reason().to_owned();
                self.health.degrade(cause, events);
                return self.process_degraded(operations, &reason, events);
            }
        }
        if let Err(cause) = self.shelf.pay_sealed_if_due(Instant::now()) {
            self.health.degrade(cause, events);
        }
        events.extend(self.shelf.happened());
        for operation in operations {
            if let Operation::Drop { through } = operation {
                self.drop_through(*through, events);
            }
        }
    }

    fn drop_through(&mut self, through: RowId, events: &mut Vec<OutboxEvent>) {
        let dropped = match self.health.reason() {
            Some(reason) => Err(reason.to_owned()),
            None => self.shelf.drop_through(through).map_err(|cause| {
                let reason = cause.reason().to_owned();
                self.health.degrade(cause, events);
                reason
            }),
        };
        events.extend(self.shelf.happened());
        events.push(match dropped {
            Ok(dropped) => OutboxEvent::Evicted {
                through: dropped.through,
                rows: dropped.rows,
                bytes: dropped.bytes,
                why: Eviction::Asked,
            },
            Err(reason) => OutboxEvent::DropFailed { reason },
        });
    }

    fn process_degraded(&mut self, operations: &[Operation], reason: &str, events: &mut Vec<OutboxEvent>) {
        for operation in operations {
            match operation {
                Operation::Append(rows) if rows.is_empty() => {}
                Operation::Append(rows) => events.push(OutboxEvent::AppendFailed {
                    tickets: rows.iter().map(|row| row.ticket).collect(),
                    reason: reason.to_owned(),
                }),
                Operation::Remove { ids, .. } => self.shelf.owe(ids),
                Operation::Load(_) => {}
                Operation::Drop { .. } => events.push(OutboxEvent::DropFailed { reason: reason.to_owned() }),
            }
        }
        if !self.removals_fail
            && let Err(cause) = self.shelf.pay_removals()
        {
            tracing::debug!(reason = cause.reason(), "removals wait for the store to heal");
            self.removals_fail = true;
        }
        for operation in operations {
            if let Operation::Load(load) = operation {
                events.push(self.shelf.load_degraded(load, reason));
            }
        }
        events.extend(self.shelf.happened());
    }

    /// Takes out rows that can never be stored.
    fn refuse_large(&self, operations: &mut [Operation], events: &mut Vec<OutboxEvent>) {
        for operation in operations {
            if let Operation::Append(rows) = operation
                && rows.iter().any(|row| self.space.refuses(row).is_some())
            {
                rows.retain(|row| match self.space.refuses(row) {
                    Some(reason) => {
                        events.push(OutboxEvent::AppendFailed { tickets: vec![row.ticket], reason });
                        false
                    }
                    None => true,
                });
            }
        }
    }
}
